"""Renders with filters, colour transfer and finishing effects, from the request to the checked output."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from support import media
from support.moving_clip import MovingClip
from support.renders import (
    TWO_LAYERS,
    png_files,
    quick_config,
    quick_settings,
    run_folder,
    stop_after,
    warnings_in,
    write_settings,
)

import vidnst
from vidnst.config import RenderConfig
from vidnst.errors import CancelledError, RunError
from vidnst.events import Event, Stage
from vidnst.frames import luma, to_bits, to_float
from vidnst.media.images import read_image
from vidnst.rendering import effects_pass, pipeline
from vidnst.rendering.measure_output import MeasureRequest, measure_output
from vidnst.runs import required_bytes
from vidnst.runs.image_folder import ImageFolder
from vidnst.runs.request import load_request

CLIP = MovingClip(count=6, width=96, height=64, pan_px=(2.0, 1.0), square_step_px=(-1.0, 1.0))
SETTINGS = quick_settings(losses=TWO_LAYERS, optimize={"iterations": 6}, schedule={"passes": 1, "spacing": 3})
ALL: dict[str, Any] = {
    "colour": {"keep": "luminance"},
    "photo": {"enabled": True, "cells": 6},
    "filters": {"after": ["superpixels:40", "palette:6"]},
}
"""All effects after the render at once, with states to pass on and a palette to learn."""


def settings(iterations: int = 6, **sections: Any) -> RenderConfig:
    return quick_config(SETTINGS, sections, optimize={"iterations": iterations})


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return media.write_pictures(tmp_path_factory.mktemp("in"), CLIP.all_pixels())[0].parent


@pytest.fixture(scope="module")
def blue_style(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pixels = media.painting(1) // 2 + np.uint8([0, 20, 90])
    return media.write_picture(tmp_path_factory.mktemp("style") / "style.png", pixels)


def pictures(folder: Path) -> list[NDArray[Any]]:
    return [read_image(path) for path in sorted(folder.glob("*.png"))]


def render(source: Path, style: Path | None, output: Path, config: RenderConfig, **extra: Any) -> Path:
    """Render; return the run folder."""
    vidnst.render(source, style=() if style is None else style, output=output, config=config, **extra)
    return run_folder(output)


@pytest.fixture(scope="module")
def plain(source: Path, blue_style: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of a render without effects."""
    return render(source, blue_style, tmp_path_factory.mktemp("plain") / "out", settings())


@pytest.fixture(scope="module")
def finished(source: Path, blue_style: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of an uninterrupted render with all effects after it."""
    return render(source, blue_style, tmp_path_factory.mktemp("finished") / "out", settings(**ALL))


def test_no_effects_leave_no_trace(plain: Path) -> None:
    assert not (plain / "finished").exists()
    assert not (plain / "before").exists()
    assert "colours" not in json.loads((plain / "plan.json").read_text())
    assert pictures(plain / "frames")[0].dtype == np.uint8
    assert png_files(plain.with_name("out")).keys() == {f"{n:06d}.png" for n in range(6)}


def test_effects_are_encoded_but_not_fed_back(plain: Path, finished: Path) -> None:
    rendered, untouched = pictures(finished / "frames"), pictures(plain / "frames")
    assert rendered[0].dtype == np.uint16
    for one, two in zip(rendered, untouched, strict=True):
        assert np.array_equal(to_bits(one, 8), two)
    assert list(png_files(finished.with_name("out")).values()) == list(png_files(finished / "finished").values())
    assert list(png_files(finished / "finished").values()) != list(png_files(plain / "frames").values())


def test_keep_luminance_takes_colours_from_source(source: Path, blue_style: Path, tmp_path: Path) -> None:
    run = render(source, blue_style, tmp_path / "out", settings(colour={"keep": "luminance"}, output={"bits": 16}))
    triples = zip(pictures(run / "finished"), pictures(run / "frames"), pictures(source), strict=True)
    for result, stylized, original in triples:
        assert result.dtype == np.uint16
        assert np.allclose(luma(to_float(result)), luma(to_float(stylized)), atol=2e-5)
        chroma, own = (to_float(one) - luma(to_float(one))[..., None] for one in (result, original))
        assert (np.abs(chroma) <= np.abs(own) + 1e-4).all()
        assert (np.abs(chroma - own) < 1e-4).mean() > 0.8


def test_effects_progress_costs_linear_time(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    has = ImageFolder.has

    def counting(folder: ImageFolder, index: int) -> bool:
        asked.append(index)
        return has(folder, index)

    monkeypatch.setattr(ImageFolder, "has", counting)
    reported: list[int] = []

    def listen(event: Event) -> None:
        if isinstance(event, Stage) and event.stage == "finishing":
            reported.append(event.done)

    render(source, None, tmp_path / "out", settings(0, filters={"after": ["palette:5"]}), on_event=listen)
    assert len(asked) == 3 * CLIP.count  # at the start, when work is submitted, and when it is done
    assert reported[0] == 0
    assert reported[-1] == CLIP.count
    assert reported == sorted(reported)


def test_each_shot_has_its_own_palette(source: Path, tmp_path: Path) -> None:
    config = settings(0, filters={"after": ["palette:5"]}, input={"shots": [3]})
    results = pictures(render(source, None, tmp_path / "out", config) / "finished")
    palettes = [{tuple(colour) for one in part for colour in one.reshape(-1, 3)} for part in (results[:3], results[3:])]
    assert [len(palette) for palette in palettes] == [5, 5]
    assert palettes[0] != palettes[1]


def test_filters_run_without_style_and_in_order(source: Path, tmp_path: Path) -> None:
    run = render(source, None, tmp_path / "out.mp4", settings(0, filters={"after": ["superpixels:30", "palette:4"]}))
    assert (tmp_path / "out.mp4").is_file()
    for frame, result, original in zip(*map(pictures, (run / "frames", run / "finished", source)), strict=True):
        assert np.array_equal(to_bits(frame, 8), original)
        assert 2 <= len(np.unique(result.reshape(-1, 3), axis=0)) <= 4
    assert not list((run / "state").iterdir())


def test_photo_keeps_source_edges_and_render_colours(
    source: Path, blue_style: Path, plain: Path, tmp_path: Path
) -> None:
    run = render(source, blue_style, tmp_path / "out", settings(photo={"enabled": True, "cells": 4}))

    def fine(picture: NDArray[Any]) -> NDArray[np.float32]:
        return np.stack(np.gradient(luma(to_float(picture))), -1)

    for result, painted, original in zip(*map(pictures, (run / "finished", plain / "frames", source)), strict=True):
        off_source = np.corrcoef(fine(result).ravel(), fine(original).ravel())[0, 1]
        assert off_source > np.corrcoef(fine(painted).ravel(), fine(original).ravel())[0, 1]
        colours = [to_float(one).mean((0, 1)) for one in (result, painted, original)]
        assert np.abs(colours[0] - colours[1]).max() < np.abs(colours[2] - colours[1]).max() / 2


@pytest.mark.parametrize("colour", [{"transfer": "moments"}, {"keep": "matched"}])
def test_style_gets_source_colours_before_render(
    colour: dict[str, str], source: Path, blue_style: Path, plain: Path, tmp_path: Path
) -> None:
    run = render(source, blue_style, tmp_path / "out", settings(20, colour=colour))
    base = render(source, blue_style, tmp_path / "base", settings(20))

    def saturation(folder: Path) -> float:
        return float(np.mean([to_float(one).mean((0, 1)).std() for one in pictures(folder)]))

    own = saturation(source)
    assert abs(saturation(run / "frames") - own) < abs(saturation(base / "frames") - own) / 2
    plan = json.loads((run / "plan.json").read_text())
    assert len(plan["colours"]["sample"]) > 1000


def test_stopped_effects_resume_from_folder_to_same_bytes(
    source: Path, blue_style: Path, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_state = effects_pass.ImageFolder.write_state

    def stop(self: Any, shot: int, index: int, state: Any) -> None:
        write_state(self, shot, index, state)
        if index == 2:
            raise CancelledError("stopped while finishing")

    with monkeypatch.context() as patch:
        patch.setattr(effects_pass.ImageFolder, "write_state", stop)
        with pytest.raises(CancelledError, match="vidnst resume"):
            render(source, blue_style, tmp_path / "out", settings(**ALL))
    run = tmp_path / "out.vidnst"
    assert len(png_files(run / "finished")) == 3
    made: list[int] = []
    original = effects_pass.ImageFolder.write

    def note(self: Any, index: int, write: Any) -> None:
        made.append(index)
        original(self, index, write)

    monkeypatch.setattr(effects_pass.ImageFolder, "write", note)
    pipeline.run(load_request(run, {}))
    assert made == [3, 4, 5], "existing pictures were made again"
    assert png_files(run / "finished") == png_files(finished / "finished")


def test_effects_can_be_cancelled(source: Path, tmp_path: Path) -> None:
    config = settings(0, filters={"after": ["palette:5"]})
    with pytest.raises(CancelledError, match="vidnst resume"):
        render(source, None, tmp_path / "out", config, **stop_after(0, stage="finishing"))
    run = render(source, None, tmp_path / "out", config)
    assert len(png_files(run / "finished")) == 6


KILLED = """
import os, signal
from vidnst.__main__ import main
from vidnst.runs.image_folder import ImageFolder

original = ImageFolder.{method}

def die(self, *args):
    {before}
    if args[{place}] == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    {after}

ImageFolder.{method} = die
main()
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "place", "first"), [("write", 0, False), ("write", 0, True), ("write_state", 1, True)]
)
def test_killed_effects_resume_to_same_bytes(
    method: str, place: int, first: bool, source: Path, blue_style: Path, finished: Path, tmp_path: Path
) -> None:
    path = write_settings(tmp_path / "settings.yaml", SETTINGS | ALL)
    arguments = ["render", str(source), "--style", str(blue_style), "-o", str(tmp_path / "out")]
    arguments += ["--config", str(path)]
    call = "original(self, *args)"
    script = KILLED.format(method=method, place=place, before=call if first else "pass", after="" if first else call)
    killed = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    run = render(source, blue_style, tmp_path / "out", settings(**ALL))
    assert png_files(run / "finished") == png_files(finished / "finished")


def test_deleted_effect_frames_are_made_again(source: Path, blue_style: Path, finished: Path, tmp_path: Path) -> None:
    run = render(source, blue_style, tmp_path / "out", settings(**ALL))
    (run / "finished" / "00000002.png").unlink()
    (run / "finished" / "0.npz").write_bytes(b"not any more")
    render(source, blue_style, tmp_path / "out", settings(**ALL), overwrite=True)
    assert png_files(run / "finished") == png_files(finished / "finished")


@pytest.mark.parametrize("threads", [1, 3])
def test_effects_keep_bytes_for_any_thread_count(
    threads: int, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def made(name: str, count: int) -> dict[str, bytes]:
        monkeypatch.setattr(effects_pass, "local_cores", lambda: count)
        after = ["superpixels:30"] if threads == 3 else ["palette:7"]
        config = settings(0, filters={"after": after}, input={"shots": [2, 4]})
        return png_files(render(source, None, tmp_path / name, config) / "finished")

    assert made("one", 1) == made("more", 4)


def test_filters_before_are_rendered(source: Path, blue_style: Path, tmp_path: Path) -> None:
    config = settings(0, filters={"before": ["palette:4"]}, input={"deflicker": 3})
    run = render(source, None, tmp_path / "through", config)
    for before, frame in zip(*map(pictures, (run / "before", run / "frames")), strict=True):
        assert len(np.unique(before.reshape(-1, 3), axis=0)) <= 4
        assert np.array_equal(before, frame)
    assert not (run / "finished").exists()
    start = {"input": {"start": "2", "end": "5", "size": 64}, "filters": {"before": ["superpixels:30"]}}
    run = render(source, blue_style, tmp_path / "out", settings(**start))
    assert len(png_files(run / "before")) == len(png_files(run / "frames")) == 3
    assert pictures(run / "before")[0].shape == pictures(run / "frames")[0].shape
    with pytest.raises(CancelledError):
        render(source, blue_style, tmp_path / "again", settings(**start), **stop_after(1, stage="filtering"))
    again = render(source, blue_style, tmp_path / "again", settings(**start))
    assert png_files(again / "frames") == png_files(run / "frames")


def test_changed_filters_refuse_resume(source: Path, tmp_path: Path) -> None:
    render(source, None, tmp_path / "out", settings(0, filters={"after": ["palette:5"]}))
    (tmp_path / "out").rename(tmp_path / "elsewhere")
    with pytest.raises(RunError, match=r"filters\.after"):
        render(source, None, tmp_path / "out", settings(0, filters={"after": ["palette:6"]}))
    render(source, None, tmp_path / "out", settings(0, filters={"after": ["palette:6"]}), overwrite=True)
    assert len(np.unique(pictures(tmp_path / "out")[0].reshape(-1, 3), axis=0)) == 6


def test_intermediate_frames_are_deleted_if_not_kept(source: Path, tmp_path: Path) -> None:
    filters = {"before": ["superpixels:30"], "after": ["palette:5"]}
    run = render(source, None, tmp_path / "out", settings(0, filters=filters, output={"keep_frames": False}))
    assert not {"before", "finished", "frames", "state"} & set(os.listdir(run))


def test_required_disk_space_counts_effect_frames() -> None:
    size = {"frames": 100, "width": 1920, "height": 1080, "states": 0}
    assert required_bytes(**size, bits=16, more_bits=8) - required_bytes(**size) == 2 * 100 * 1920 * 1080 * 3


def test_measurement_reads_frames_with_effects(source: Path, tmp_path: Path) -> None:
    config = settings(0, filters={"after": ["palette:2"]}, output={"measure": True})
    run = render(source, None, tmp_path / "out", config)
    ratio = json.loads((run / "measure.json").read_text())["sharpness"]["ratio"]
    assert ratio > 1.5, "hard edges of two colours, not the soft frames that were rendered"


def test_later_measurement_knows_effects_and_transferred_colours(
    source: Path, blue_style: Path, tmp_path: Path
) -> None:
    config = settings(30, colour={"transfer": "moments"}, output={"keep_frames": False, "measure": True})
    run = render(source, blue_style, tmp_path / "out", config)
    at_the_end = json.loads((run / "measure.json").read_text())["losses"]["style"]
    later = measure_output(MeasureRequest(tmp_path / "out")).losses["style"]
    untold = measure_output(MeasureRequest(tmp_path / "out", styles=(str(blue_style),))).losses["style"]
    assert later == pytest.approx(at_the_end, rel=0.1)
    assert untold > 1.5 * later
    kept = render(source, None, tmp_path / "kept", settings(0, filters={"after": ["palette:2"]}))
    assert measure_output(MeasureRequest(kept)).sharpness.ratio > 1.5  # type: ignore[operator]


def test_useless_effect_without_render_is_warned_of(source: Path, tmp_path: Path) -> None:
    events: list[Event] = []
    render(source, None, tmp_path / "out", settings(0, photo={"enabled": True}), on_event=events.append)
    assert any("optimize.iterations is 0" in warning for warning in warnings_in(events))


def test_bad_frame_is_repeated_and_warned_of_once(tmp_path: Path) -> None:
    intact = media.write_video(tmp_path / "intact.mp4", CLIP.all_pixels(), options=("-g", "1"))
    broken = media.damage_packets(intact, tmp_path / "broken.mp4", [3])
    config = settings(
        0, filters={"before": ["superpixels:30"], "after": ["palette:4"]}, input={"on_bad_frame": "repeat"}
    )
    events: list[Event] = []
    run = render(broken, None, tmp_path / "out", config, on_event=events.append)
    assert len([text for text in warnings_in(events) if "frame 3 does not decode" in text]) == 1
    assert len(png_files(run / "finished")) == 6


def test_command_line_sets_every_effect(source: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "vidnst", "render", str(source), "-o", str(tmp_path / "out"), "--iterations", "0"]
    command += ["--filter", "superpixels:40", "--filter", "palette:3", "--filter-before", "palette:9", "--photo"]
    command += ["--keep-colours", "--dry-run", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    config = json.loads(done.stdout)["config"]
    assert [one["kind"] for one in config["filters"]["after"]] == ["superpixels", "palette"]
    assert config["filters"]["before"] == [{"kind": "palette", "colours": 9, "steadiness": 0.5}]
    assert config["photo"]["enabled"]
    assert config["colour"]["keep"] == "matched"
    wrong = subprocess.run([*command, "--filter", "oils"], capture_output=True, text=True, check=False)
    assert wrong.returncode == 2
    assert "unknown filter 'oils'; known are palette and superpixels" in wrong.stderr
