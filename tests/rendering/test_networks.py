"""Renders by a network that is trained on the shot: bytes, resuming, redoing, regions, and what cannot be learned."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from support.command_line import Vidnst
from support.media import numbered_pictures, write_picture, write_pictures, write_video
from support.moving_clip import MovingClip
from support.renders import (
    TWO_LAYERS,
    done_nodes,
    frame_files,
    logged_events,
    quick_config,
    quick_settings,
    stop_after,
    write_settings,
)

import vidnst
from vidnst.config.style import Style
from vidnst.errors import CancelledError, ConfigError, FramesFailedError, NumericalError, OutputError, RunError
from vidnst.events import Event, Stage
from vidnst.farm import workers
from vidnst.farm.jobs import Trained
from vidnst.frames import to_float
from vidnst.media.images import read_image
from vidnst.rendering import pipeline
from vidnst.rendering.batch.run import run_batch
from vidnst.rendering.pipeline import run
from vidnst.runs.request import Request, load_request
from vidnst.style.transform.network import TransformNetwork
from vidnst.style.transform.network_file import encode_network, read_network_file
from vidnst.tools.train import TrainRequest, train

FRAMES = 7
TRAINING = {"steps": 20, "stage_steps": 4, "crop": 64}
SETTINGS = quick_settings(
    losses=TWO_LAYERS,
    optimize={"iterations": 20},
    schedule={"kind": "network", "passes": 1, "training": TRAINING},
    farm={"workers": 1},
)
STAGES = [f"network.{stage}" for stage in range(1, 7)]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Wider than the crops of the training."""
    folder = tmp_path_factory.mktemp("clip")
    write_pictures(folder, MovingClip(count=FRAMES, width=80, height=48, pan_px=(1, 0), square_px=12).all_pixels())
    return folder


@pytest.fixture(scope="module")
def right(clip: Path, style: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of an undisturbed render."""
    output = tmp_path_factory.mktemp("right") / "out"
    vidnst.render(clip, style=style, output=output, config=quick_config(SETTINGS))
    return output.with_name("out.vidnst")


def shown(run: Path) -> list[NDArray[Any]]:
    return [to_float(read_image(path)) for path in sorted((run / "frames").glob("*.png"))]


def test_training_comes_before_frames_and_is_logged(right: Path) -> None:
    nodes = done_nodes(right)
    assert nodes[: len(STAGES)] == STAGES
    assert sorted(nodes[len(STAGES) :]) == sorted(f"{frame}.{step}" for frame in range(FRAMES) for step in (0, 1))
    losses = [event["losses"]["total"] for event in logged_events(right, "done")[1 : len(STAGES)]]
    assert losses[-1] < losses[0]


def test_progress_of_the_training_is_told(clip: Path, style: Path, tmp_path: Path) -> None:
    events: list[Event] = []
    vidnst.render(clip, style=style, output=tmp_path / "out", config=quick_config(SETTINGS), on_event=events.append)
    told = [event for event in events if isinstance(event, Stage) and event.stage == "training"]
    assert [(event.done, event.total) for event in told] == [(stage, 6) for stage in range(1, 7)]
    stages = [event["stage"] for event in logged_events(tmp_path / "out.vidnst", "stage")]
    assert stages.index("training") < stages.index("rendering") < stages.index("encoding")


def test_same_bytes_for_any_worker_count(clip: Path, style: Path, right: Path, tmp_path: Path) -> None:
    config = quick_config(SETTINGS, farm={"workers": 3})
    vidnst.render(clip, style=style, output=tmp_path / "out", config=config)
    assert frame_files(tmp_path / "out.vidnst") == frame_files(right)


def test_all_sessions_train_with_the_same_threads(
    clip: Path, style: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[int] = []
    train_stage = workers.train_stage

    def record(*args: Any) -> Trained:
        threads.append(torch.get_num_threads())
        return train_stage(*args)

    monkeypatch.setattr(workers, "train_stage", record)
    config, output, before = quick_config(SETTINGS, farm={"threads": None}), tmp_path / "out", torch.get_num_threads()
    monkeypatch.setattr(pipeline, "local_cores", lambda: 3)
    with pytest.raises(CancelledError):
        vidnst.render(
            clip, style=style, output=output, config=config, cancelled=lambda: len(stages_done(tmp_path)) >= 2
        )
    monkeypatch.setattr(pipeline, "local_cores", lambda: 1)
    vidnst.render(clip, style=style, output=output, config=config)
    assert set(threads) == {3}
    assert torch.get_num_threads() == before


def test_instant_only_measures_the_clip(clip: Path, style: Path, tmp_path: Path) -> None:
    instant = {"schedule": {"passes": 0, "training": {"start": "pretrained", "steps": 0}}}
    for count in (1, 3):
        config = quick_config(SETTINGS, instant, farm={"workers": count})
        vidnst.render(clip, style=style, output=tmp_path / str(count), config=config)
    folders = [tmp_path / f"{count}.vidnst" for count in (1, 3)]
    assert sorted(done_nodes(folders[0])) == sorted(["network.1", *(f"{frame}.0" for frame in range(FRAMES))])
    assert frame_files(folders[0]) == frame_files(folders[1])
    painted, wanted = np.stack(shown(folders[0])), to_float(read_image(style))
    assert np.allclose(painted.mean((0, 1, 2)), wanted.mean((0, 1)), atol=0.15)


@pytest.mark.parametrize("stop_frames", [0, 3])
def test_interrupted_render_repeats_nothing(
    stop_frames: int, clip: Path, style: Path, right: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, output = quick_config(SETTINGS), tmp_path / "out"
    hooks = stop_after(stop_frames) if stop_frames else {"cancelled": lambda: len(stages_done(tmp_path)) >= 2}
    with pytest.raises(CancelledError):
        vidnst.render(clip, style=style, output=output, config=config, **hooks)
    assert len(stages_done(tmp_path)) == len(STAGES) if stop_frames else 2 <= len(stages_done(tmp_path)) < len(STAGES)
    vidnst.render(clip, style=style, output=output, config=config)
    assert frame_files(tmp_path / "out.vidnst") == frame_files(right)
    assert set(Counter(done_nodes(tmp_path / "out.vidnst")).values()) == {1}


def stages_done(folder: Path) -> list[str]:
    log = folder / "out.vidnst" / "events.jsonl"
    return [node for node in done_nodes(log.parent) if node in STAGES] if log.exists() else []


def test_redone_frame_is_painted_by_the_same_network(clip: Path, style: Path, tmp_path: Path) -> None:
    vidnst.render(clip, style=style, output=tmp_path / "out", config=quick_config(SETTINGS))
    folder = tmp_path / "out.vidnst"
    before = frame_files(folder)
    run(load_request(folder, {}), redo=(3,), overwrite=True)
    assert frame_files(folder) == before
    again = [node for node, count in Counter(done_nodes(folder)).items() if count > 1]
    assert sorted(again) == ["2.1", "3.0", "3.1", "4.1"]


def test_damaged_network_is_named_and_trained_again(clip: Path, style: Path, tmp_path: Path) -> None:
    vidnst.render(clip, style=style, output=tmp_path / "out", config=quick_config(SETTINGS))
    folder = tmp_path / "out.vidnst"
    before, network = frame_files(folder), folder / "state" / "network.6.npy"
    network.write_bytes(b"nothing")
    with pytest.raises(RunError, match=r"network\.6\.npy cannot be read.*delete that file"):
        run(load_request(folder, {}), redo=(3,), overwrite=True)
    network.unlink()
    run(load_request(folder, {}), redo=(3,), overwrite=True)
    assert frame_files(folder) == before
    assert Counter(done_nodes(folder))["network.6"] == 2


def test_a_shot_of_one_frame_is_learned_alone(clip: Path, style: Path, tmp_path: Path) -> None:
    config = quick_config(SETTINGS, input={"start": "2", "end": "3"})
    vidnst.render(clip, style=style, output=tmp_path / "out", config=config)
    assert list(frame_files(tmp_path / "out.vidnst")) == [2]


def test_regions_have_their_styles_and_the_rest_its_source(clip: Path, tmp_path: Path) -> None:
    half = np.zeros((48, 80, 3), np.uint8)
    half[:, :40] = 255
    mask, colours = write_picture(tmp_path / "half.png", half), {"red": (200, 60, 60), "blue": (60, 60, 200)}
    noise = np.random.default_rng(1).integers(-50, 50, (48, 48, 1))
    styles = {
        name: write_picture(tmp_path / f"{name}.png", np.clip(np.array(tint) + noise, 0, 255).astype(np.uint8))
        for name, tint in colours.items()
    }
    sections = {"schedule": {"passes": 0, "training": {"steps": 60}}, "regions": {"masks": {"left": str(mask)}}}
    texts = [f"{styles['red']}#left", f"{styles['blue']}#rest"]
    vidnst.render(clip, style=texts, output=tmp_path / "two", config=quick_config(SETTINGS, sections))
    for frame in shown(tmp_path / "two.vidnst"):
        redness = frame[..., 0] - frame[..., 2]
        assert redness[:, :30].mean() > redness[:, 50:].mean() + 0.1
    vidnst.render(clip, style=texts[:1], output=tmp_path / "one", config=quick_config(SETTINGS, sections))
    for number, frame in enumerate(shown(tmp_path / "one.vidnst")):
        source = to_float(read_image(sorted(clip.glob("*.png"))[number]))
        np.testing.assert_allclose(frame[:, 50:], source[:, 50:], atol=1 / 255)


def test_failed_training_is_named(clip: Path, style: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object, **options: object) -> None:
        raise NumericalError("the loss is nan at training step 3", "lower schedule.training.rate")

    with monkeypatch.context() as patch:
        patch.setattr("vidnst.farm.workers.train_stage", fail)
        with pytest.raises(FramesFailedError, match=r"no frame of 7 is painted.*stage 1.*nan.*vidnst retry"):
            vidnst.render(clip, style=style, output=tmp_path / "out", config=quick_config(SETTINGS))
    vidnst.render(clip, style=style, output=tmp_path / "out", config=quick_config(SETTINGS))


def test_two_shots_share_the_network(clip: Path, style: Path, tmp_path: Path) -> None:
    config = quick_config(SETTINGS, input={"shots": [3]})
    vidnst.render(clip, style=style, output=tmp_path / "out", config=config)
    nodes = done_nodes(tmp_path / "out.vidnst")
    assert nodes[: len(STAGES)] == STAGES
    assert len(frame_files(tmp_path / "out.vidnst")) == FRAMES


def test_batch_trains_each_clip(clip: Path, style: Path, tmp_path: Path) -> None:
    jobs = tmp_path / "jobs.yaml"
    entries = [{"sources": str(clip), "styles": str(style), "output": name} for name in ("a", "b")]
    jobs.write_text(json.dumps({"defaults": {"set": SETTINGS}, "jobs": entries}))
    run_batch(jobs)
    one, two = (frame_files(tmp_path / f"{name}.vidnst") for name in ("a", "b"))
    assert one == two
    assert len(one) == FRAMES


def test_trained_file_paints_another_clip_as_its_own_would(
    clip: Path, style: Path, right: Path, tmp_path: Path, vidnst: Vidnst
) -> None:
    settings, file = write_settings(tmp_path / "settings.yaml", SETTINGS), tmp_path / "look.safetensors"
    usual = (clip, "--style", style, "--config", settings)
    status, out, _ = vidnst("train", *usual, "-o", file)
    assert status == 0
    assert f"{clip}, frames 0 to 6" in out.replace("\n", " ")
    assert list(tmp_path.glob("*.vidnst")) == []
    assert vidnst("render", *usual, "--network", file, "-o", tmp_path / "out")[0] == 0
    assert frame_files(tmp_path / "out.vidnst") == frame_files(right)
    assert not set(STAGES) & set(done_nodes(tmp_path / "out.vidnst"))
    record = json.loads((tmp_path / "out.vidnst" / "run.json").read_text())
    assert record["network"] == str(file)
    assert record["look"]["network"] == read_network_file(file).fingerprint
    told = json.loads(vidnst("probe", file, "--json").out)
    assert (told["styles_learned"], told["notes"]["styles"]) == (1, style.name)


def test_stopped_training_of_a_file_continues(clip: Path, style: Path, tmp_path: Path) -> None:
    request = Request(clip, (Style(str(style)),), tmp_path / "unused", quick_config(SETTINGS))
    files = [tmp_path / "one.safetensors", tmp_path / "two.safetensors"]
    log = tmp_path / "one.safetensors.vidnst" / "events.jsonl"
    with pytest.raises(CancelledError):
        train(TrainRequest(request, files[0]), cancelled=lambda: log.exists() and len(done_nodes(log.parent)) >= 2)
    assert not files[0].exists()
    for file in files:
        train(TrainRequest(request, file))
    with pytest.raises(OutputError, match=r"exists already.*--overwrite"):
        train(TrainRequest(request, files[0]))
    with pytest.raises(OutputError, match=r"look\.bin does not end in \.safetensors"):
        train(TrainRequest(request, tmp_path / "look.bin"))
    assert files[0].read_bytes() == files[1].read_bytes()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schedule": {"kind": "keys"}}, r"needs schedule\.kind network.*--engine network"),
        ({}, "learned 2 styles.*needs 1"),
    ],
)
def test_network_that_does_not_fit_is_refused(
    changes: dict[str, Any], message: str, clip: Path, style: Path, tmp_path: Path
) -> None:
    file = tmp_path / "two.safetensors"
    file.write_bytes(encode_network(TransformNetwork(styles=2).to_vector(), {}, styles=2))
    config = quick_config(SETTINGS, changes, {"model": {"network": str(file)}})
    with pytest.raises(ConfigError, match=message):
        vidnst.render(clip, style=style, output=tmp_path / "out", config=config)


def test_a_style_clip_is_refused(clip: Path, tmp_path: Path) -> None:
    moving = write_video(tmp_path / "style.mp4", numbered_pictures(3))
    with pytest.raises(ConfigError, match=r"a style that is a clip.*--schedule keys"):
        vidnst.render(clip, style=moving, output=tmp_path / "out", config=quick_config(SETTINGS))
