"""Recording of an optimisation: its steps, its video, and the finished picture, which equals that of a render."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.media import painting, photo, read_picture, write_picture
from support.renders import still_config

import vidnst
from vidnst.config.loader import with_settings
from vidnst.errors import CancelledError, ConfigError, OutputError, RangeError, StyleError, VidnstError
from vidnst.events import Event, Stage, Warned
from vidnst.media.input.frame_reader import FrameReader
from vidnst.media.input.probe import probe
from vidnst.style.tensors import from_pixels, to_state
from vidnst.tools.preview.evolve import Evolution, FrameLayout, choose_video_steps


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_picture(tmp_path / "photo.png", photo())


@pytest.fixture
def style(tmp_path: Path) -> Path:
    return write_picture(tmp_path / "style.png", painting(0))


def evolve(source: Path, style: Path, output: Path, **more: Any) -> Evolution:
    return vidnst.evolve(source, style=style, output=output, config=more.pop("config", still_config()), **more)


def test_finished_picture_equals_stylize_and_render(source: Path, style: Path, tmp_path: Path) -> None:
    torch.set_num_threads(1)
    found = evolve(source, style, tmp_path / "e.png", at=[12])
    plain = vidnst.stylize(from_pixels(photo()), from_pixels(painting(0)), config=still_config(), device="cpu")
    assert np.array_equal(found.pixels, ((to_state(plain).astype(np.uint32) + 128) // 257).astype(np.uint8))
    assert np.array_equal(read_picture(tmp_path / "e.png"), found.pixels)
    assert np.array_equal(read_picture(tmp_path / "e_000012.png"), found.pixels)
    blended = still_config(init="blend")
    rendered = vidnst.render(source, style=style, output=tmp_path / "r.png", config=blended)
    evolve(source, style, tmp_path / "b.png", config=blended)
    assert np.array_equal(read_picture(tmp_path / "b.png"), read_picture(rendered.output))


def test_stills_are_written_at_requested_steps(source: Path, style: Path, tmp_path: Path) -> None:
    config = still_config(scales=1)
    found = evolve(source, style, tmp_path / "e.png", config=config, at=[7, 1, 3, 3])
    names = ["e.png", "e_000001.png", "e_000003.png", "e_000007.png"]
    assert sorted(path.name for path in tmp_path.glob("e*")) == names
    assert [path.name for path in found.stills] == names[1:]
    assert np.array_equal(read_picture(tmp_path / "e_000001.png"), photo()), "the first evaluation is of the start"
    moved = [np.abs(read_picture(path).astype(int) - photo()).mean() for path in found.stills]
    assert moved == sorted(moved)
    assert moved[1] > 1


def test_every_evaluation_is_recorded_with_losses(source: Path, style: Path, tmp_path: Path) -> None:
    found = evolve(source, style, tmp_path / "e.png", config=still_config(scales=2))
    assert [step.evaluation for step in found.steps] == list(range(1, 13))
    assert {step.height for step in found.steps} == {32, 64}, "from coarse to fine"
    fine = [step.losses["total"] for step in found.steps if step.height == 64]
    assert found.losses["total"] == min(fine), "the best of the finest scale is kept"


@pytest.mark.parametrize(("width", "height"), [(96, 64), (64, 96), (160, 48)])
def test_video_shows_steps_and_chart_and_ends_finished(style: Path, tmp_path: Path, width: int, height: int) -> None:
    source = write_picture(tmp_path / "sized.png", photo(1, width, height))
    found = evolve(source, style, tmp_path / "e.mkv", every=5, rate=Fraction(10))
    clip = probe(tmp_path / "e.mkv")
    layout = FrameLayout(width, height, chart=True)
    assert (clip.width, clip.height) == layout.size
    assert (clip.rate, clip.frame_count) == (10, 4 - 1 + 10), "steps 1, 5, 10 and the last for a second"
    frames = [frame.pixels for frame in FrameReader(clip)]
    assert np.array_equal(frames[-1], frames[-10])
    x, y = layout.picture_at
    shown = [frame[y : y + height, x : x + width] for frame in frames]
    assert np.array_equal(shown[-1], found.pixels)
    moved = [np.abs(picture.astype(int) - found.pixels).mean() for picture in shown[:4]]
    assert moved == sorted(moved, reverse=True)
    blank = frames[0].copy()
    blank[y : y + height, x : x + width] = 255
    assert (blank < 128).any(), "there is a chart"


def test_video_without_curve_has_picture_size(source: Path, style: Path, tmp_path: Path) -> None:
    evolve(source, style, tmp_path / "e.gif", curve=False, config=still_config(iterations=3))
    clip = probe(tmp_path / "e.gif")
    assert (clip.width, clip.height) == (96, 64)
    assert clip.frame_count == 2 + 25


def test_video_steps_are_geometric_and_bounded() -> None:
    for limit in (1, 2, 7, 150, 100_000):
        steps = choose_video_steps(limit, None)
        assert (steps[0], steps[-1]) == (1, limit)
        assert len(steps) <= 150
        assert steps[: min(limit, 10)] == tuple(range(1, min(limit, 10) + 1))
        assert list(steps) == sorted(set(steps))
    assert choose_video_steps(10, 4) == (1, 4, 8, 10)
    assert choose_video_steps(10, 1) == tuple(range(1, 11))


def test_early_stop_warns_of_missing_stills(source: Path, style: Path, tmp_path: Path) -> None:
    events: list[Event] = []
    config = still_config(scales=1, iterations=200, tolerance=0.9, patience=2)
    found = evolve(source, style, tmp_path / "e.png", config=config, at=[2, 200], on_event=events.append)
    assert [path.name for path in found.stills] == ["e_000002.png"]
    assert not (tmp_path / "e_000200.png").exists()
    (warning,) = [event for event in events if isinstance(event, Warned)]
    assert f"settled after {len(found.steps)} evaluations" in str(warning)
    assert "step 200" in str(warning)


def test_any_frame_of_a_clip_can_be_chosen(style: Path, tmp_path: Path) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    for seed in range(3):
        write_picture(folder / f"{seed}.png", photo(seed))
    config = with_settings(still_config(iterations=1, scales=1), {"input.size": 64})
    found = evolve(folder, style, tmp_path / "e.png", frame="0.04s", config=config)
    assert found.pixels.shape == (42, 64, 3)
    assert np.abs(found.pixels.mean() - photo(1).mean()) < 1
    with pytest.raises(RangeError, match="frame 3"):
        evolve(folder, style, tmp_path / "f.png", frame=3, config=config)


@pytest.mark.parametrize(
    ("more", "error", "words"),
    [
        ({"at": [0]}, ConfigError, "step 0"),
        ({"at": [13]}, ConfigError, "step 13 is not one of the 12 evaluations"),
        ({"every": 0}, ConfigError, "--every 0"),
        ({"config": still_config(iterations=0)}, ConfigError, "nothing to see"),
        ({"config": still_config(iterations=5000), "every": 1}, ConfigError, "5000 frames"),
        ({"style": "gone.png"}, StyleError, "gone.png"),
        ({"output": "e.xyz"}, OutputError, "xyz"),
        ({"output": "none/e.mp4"}, OutputError, "none"),
        ({"output": "photo.png"}, OutputError, "is an input"),
        ({"output": "there.mp4"}, OutputError, "exists already"),
        ({"output": "there.mp4", "at": [3], "overwrite": True}, None, ""),
        ({"output": "x.png", "at": [3]}, OutputError, "x_000003.png exists already"),
    ],
)
def test_invalid_arguments_fail_before_painting(
    source: Path, style: Path, tmp_path: Path, more: dict[str, Any], error: type[VidnstError] | None, words: str
) -> None:
    for name in ("there.mp4", "x_000003.png"):
        (tmp_path / name).write_bytes(b"mine")
    events: list[Event] = []
    given = {"style": style, "config": still_config(), "on_event": events.append, **more}
    output = tmp_path / given.pop("output", "e.mp4")
    if error is None:
        assert len(vidnst.evolve(source, output=output, **given).stills) == 1
        return
    before = sorted(tmp_path.iterdir())
    with pytest.raises(error, match=words):
        vidnst.evolve(source, output=output, **given)
    assert not [event for event in events if isinstance(event, Stage) and event.stage == "evaluations"]
    assert sorted(tmp_path.iterdir()) == before


def test_cancelling_leaves_no_files(source: Path, style: Path, tmp_path: Path) -> None:
    events: list[Event] = []
    before = sorted(tmp_path.iterdir())
    with pytest.raises(CancelledError):
        evolve(
            source,
            style,
            tmp_path / "e.mp4",
            at=[2],
            on_event=events.append,
            cancelled=lambda: Stage("evaluations", 4, 12) in events,
        )
    assert sorted(tmp_path.iterdir()) == before
