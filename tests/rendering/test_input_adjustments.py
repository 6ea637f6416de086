"""Renders with registration and deflickering of the input, from the request to the checked output."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from support.media import UNEVEN_PTS, write_picture, write_pictures, write_video
from support.renders import frame_files, quick_config, run_folder, stop_after, warnings_in

import vidnst
from vidnst.config import RenderConfig
from vidnst.config.loader import with_settings
from vidnst.errors import CancelledError, OutputError, RunError, SourceError
from vidnst.events import Event, FrameDone, Stage
from vidnst.media.images import read_image
from vidnst.media.input.probe import probe
from vidnst.rendering import prepare, run_opening
from vidnst.runs.request import Request
from vidnst.tools.forecast.render_plan import describe_render

SIZE = (160, 120)


def scene(size: tuple[int, int], seed: int = 0) -> NDArray[np.uint8]:
    random = np.random.default_rng(seed)
    layers = [random.integers(0, 256, (n * 5, n * 8, 3)).astype(np.float32) for n in (1, 3, 6, 9)]
    mixed = np.mean([cv2.resize(layer, size, interpolation=cv2.INTER_CUBIC) for layer in layers], axis=0)
    return np.clip((mixed - 128) * 2 + 120, 30, 220).astype(np.uint8)


def shaken(count: int, size: tuple[int, int] = SIZE) -> list[NDArray[np.uint8]]:
    wide, random = scene((size[0] + 30, size[1] + 30)), np.random.default_rng(1)
    places = [random.integers(3, 27, 2) for _ in range(count)]
    return [np.ascontiguousarray(wide[y : y + size[1], x : x + size[0]]) for x, y in places]


def settings(*, iterations: int = 0, chroma: str = "auto", **input_: Any) -> RenderConfig:
    return quick_config(input=input_, optimize={"iterations": iterations}, output={"chroma": chroma})


def render(source: Path, output: Path, config: RenderConfig, **extra: Any) -> list[NDArray[Any]]:
    """Render; return the frames as they went into the output."""
    vidnst.render(source, style=(), output=output, config=config, **extra)
    return [read_image(path) for path in sorted((run_folder(output) / "frames").glob("*.png"))]


def mean_change(frames: list[Any]) -> float:
    return float(np.mean([np.abs(a.astype(int) - b).mean() for a, b in pairwise(frames)]))


@pytest.fixture
def shaken_burst(tmp_path: Path) -> Path:
    return write_pictures(tmp_path / "burst", shaken(6))[0].parent


@pytest.mark.parametrize("edges", ["crop", "fill"])
def test_registered_burst_is_still(shaken_burst: Path, tmp_path: Path, edges: str) -> None:
    output = tmp_path / "out.mp4"
    frames = render(shaken_burst, output, settings(registration="ecc", registration_edges=edges, fps=8))
    raw = [read_image(path) for path in sorted(shaken_burst.iterdir())]
    inner = [frame[28:-28, 28:-28] for frame in frames]
    assert mean_change(inner) < mean_change(raw) / 8
    clip, source = probe(output), probe(shaken_burst, fps=settings(fps=8).input.fps)
    assert (clip.width, clip.height) == frames[0].shape[1::-1]
    assert clip.width % 2 == clip.height % 2 == 0
    assert (clip.width < SIZE[0]) == (edges == "crop")
    assert clip.pts_seconds == source.pts_seconds
    assert clip.duration_seconds == source.duration_seconds


def test_odd_crop_is_made_even_for_420_chroma(tmp_path: Path) -> None:
    source = write_pictures(tmp_path / "burst", shaken(4, (161, 121)))[0].parent
    config = settings(registration="homography", chroma="420")
    vidnst.render(source, style=(), output=tmp_path / "out.mp4", config=config)
    clip = probe(tmp_path / "out.mp4")
    assert clip.width % 2 == clip.height % 2 == 0
    assert clip.pixel_format == "yuv420p"


def test_size_applies_to_cropped_picture(shaken_burst: Path, tmp_path: Path) -> None:
    frames = render(shaken_burst, tmp_path / "out", settings(registration="ecc", size=96))
    assert max(frames[0].shape) == 96


def test_adjusted_video_keeps_time_stamps_and_audio(tmp_path: Path) -> None:
    pts = UNEVEN_PTS
    source = write_video(tmp_path / "in.mp4", shaken(len(pts)), pts_seconds=pts, sound=("-c:a", "aac"))
    config = settings(registration="homography", deflicker=5, shots="none")
    vidnst.render(source, style=(), output=tmp_path / "out.mp4", config=config)
    before, after = probe(source), probe(tmp_path / "out.mp4")
    assert after.pts_seconds == before.pts_seconds
    assert after.audio_codec == before.audio_codec == "aac"
    assert (after.width, after.height) < (before.width, before.height)


def test_deflicker_treats_shots_separately(tmp_path: Path) -> None:
    light = 1 + 0.12 * np.array([0, 1, -1, 1, -1, 1, -1, 0, 1, -1, 1, -1])
    dark, bright = scene((96, 64)) * 0.4, scene((96, 64), 4) * 0.9
    frames = [np.rint((dark if n < 6 else bright) * factor).astype(np.uint8) for n, factor in enumerate(light)]
    source = write_pictures(tmp_path / "in", frames)[0].parent
    steady = render(source, tmp_path / "out", settings(deflicker=6, shots=(6,)))
    for part in (slice(0, 6), slice(6, 12)):
        assert mean_change(steady[part]) < mean_change(frames[part]) / 4
    means = [frame.mean() for frame in steady]
    assert max(means[:6]) * 1.5 < min(means[6:]), "nothing is averaged across the cut"


def test_no_adjustment_keeps_bytes(shaken_burst: Path, tmp_path: Path) -> None:
    frames = render(shaken_burst, tmp_path / "out", settings())
    for frame, path in zip(frames, sorted(shaken_burst.iterdir()), strict=True):
        assert np.array_equal(frame, read_image(path))
    assert "adjustments" not in json.loads((tmp_path / "out.vidnst" / "plan.json").read_text())


@pytest.mark.usefixtures("immediate_writes", "no_prefetch")
def test_resume_keeps_adjustments_and_bytes(shaken_burst: Path, tmp_path: Path) -> None:
    # With one worker, no prefetch and immediate writes, few frames are finished after the run is asked to stop.
    config = with_settings(settings(registration="ecc", registration_edges="fill", deflicker=5), {"farm.workers": 1})
    undisturbed = render(shaken_burst, tmp_path / "undisturbed", config)
    with pytest.raises(CancelledError):
        render(shaken_burst, tmp_path / "out", config, **stop_after(2))
    assert 2 <= len(frame_files(tmp_path / "out.vidnst")) < 6
    plan = (tmp_path / "out.vidnst" / "plan.json").read_text()
    events: list[Event] = []
    resumed = render(shaken_burst, tmp_path / "out", config, on_event=events.append)
    assert all(np.array_equal(a, b) for a, b in zip(resumed, undisturbed, strict=True))
    assert (tmp_path / "out.vidnst" / "plan.json").read_text() == plan
    assert not [event for event in events if isinstance(event, Stage) and event.stage == "studying"]


def test_run_stopped_during_study_resumes(shaken_burst: Path, tmp_path: Path) -> None:
    config = settings(registration="homography")
    with pytest.raises(CancelledError, match="vidnst resume"):
        render(shaken_burst, tmp_path / "out", config, **stop_after(1, stage="studying"))
    assert len(render(shaken_burst, tmp_path / "out", config)) == 6


def test_changed_input_settings_refuse_resume(shaken_burst: Path, tmp_path: Path) -> None:
    render(shaken_burst, tmp_path / "out", settings(registration="ecc"))
    (tmp_path / "out").rename(tmp_path / "elsewhere")
    with pytest.raises(RunError, match=r"input\.registration_edges: crop -> fill"):
        render(shaken_burst, tmp_path / "out", settings(registration="ecc", registration_edges="fill"))


def test_unregistrable_frame_is_warned_of_only(shaken_burst: Path, tmp_path: Path) -> None:
    write_picture(shaken_burst / "0004.png", np.full((SIZE[1], SIZE[0], 3), 80, np.uint8))
    events: list[Event] = []
    frames = render(shaken_burst, tmp_path / "out", settings(registration="ecc"), on_event=events.append)
    assert len(frames) == 6
    (warning,) = warnings_in(events)
    assert warning.startswith("1 of 6 frames cannot be registered (4)")


def test_advice_of_crop_error_works(tmp_path: Path) -> None:
    wide = scene((420, 120))
    frames = [wide[:, at : at + 160].copy() for at in (0, 70, 140, 210)]
    source = write_pictures(tmp_path / "in", frames)[0].parent
    with pytest.raises(SourceError, match="in common; fill the edges with --register-edges fill"):
        render(source, tmp_path / "out", settings(registration="homography"))
    filled = render(source, tmp_path / "out", settings(registration="homography", registration_edges="fill"))
    assert {frame.shape for frame in filled} == {(120, 160, 3)}


def test_preflight_uses_cropped_size(shaken_burst: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[Any] = []

    def check(output: Path, given: Any, *, size: tuple[int, int], **extra: Any) -> None:
        sizes.append(size)
        if len(sizes) == 2:
            raise OutputError("no encoder takes this size")

    for module in (prepare, run_opening):
        monkeypatch.setattr(module, "check_output", check)
    events: list[Event] = []
    with pytest.raises(OutputError, match="no encoder"):
        render(shaken_burst, tmp_path / "out", settings(registration="ecc"), on_event=events.append)
    assert sizes[0] == SIZE
    assert sizes[1] < SIZE
    assert not [event for event in events if isinstance(event, FrameDone)]


def test_dry_run_reports_cropped_size(shaken_burst: Path, tmp_path: Path) -> None:
    config = settings(registration="ecc")
    plan = describe_render(Request(shaken_burst, (), tmp_path / "out", config))[0]
    frames = render(shaken_burst, tmp_path / "out", config)
    assert plan["size"] == [frames[0].shape[1], frames[0].shape[0]]


def test_registered_burst_is_stylized_at_cropped_size(shaken_burst: Path, tmp_path: Path) -> None:
    style = write_picture(tmp_path / "style.png", scene((64, 64), 8))
    config = settings(registration="ecc", deflicker=5, iterations=4, size=64, end="3")
    vidnst.render(shaken_burst, style=style, output=tmp_path / "out", config=config)
    plan = json.loads((tmp_path / "out.vidnst" / "plan.json").read_text())
    shapes = {read_image(path).shape for path in (tmp_path / "out").iterdir()}
    assert shapes == {(plan["height"], plan["width"], 3)}
