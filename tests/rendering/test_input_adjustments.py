"""Renders whose frames are registered or deflickered first, from the request to the checked output."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from support import media

import vidnst
from vidnst.config import RenderConfig
from vidnst.config.loader import build_config, with_settings
from vidnst.errors import CancelledError, OutputError, RunError, SourceError
from vidnst.events import Event, FrameDone, Stage, Warned
from vidnst.media.images import read_image
from vidnst.media.input.probe import probe
from vidnst.runs.async_writer import WriteLimits
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


def settings(*, iterations: int = 0, keep: bool = True, **values: Any) -> RenderConfig:
    return build_config(
        {
            "input": values,
            "model": {"weights": "random"},
            "losses": {"style_layers": {"relu1_1": 1}, "content_layers": {"relu2_1": 1}},
            "optimize": {"iterations": iterations, "scales": 1},
            "farm": {"executor": "inline", "threads": 1},
            "output": {"keep_frames": keep},
        }
    )


def render(source: Path, output: Path, config: RenderConfig, **extra: Any) -> list[NDArray[Any]]:
    """The frames of a render, as they went into the output."""
    vidnst.render(source, style=(), output=output, config=config, **extra)
    return [read_image(path) for path in sorted(Path(f"{output}.vidnst/frames").glob("*.png"))]


def unrest(frames: list[Any]) -> float:
    return float(np.mean([np.abs(a.astype(int) - b).mean() for a, b in pairwise(frames)]))


@pytest.fixture
def burst(tmp_path: Path) -> Path:
    return media.write_pictures(tmp_path / "burst", shaken(6))[0].parent


@pytest.mark.parametrize("edges", ["crop", "fill"])
def test_a_burst_comes_out_still_and_whole(burst: Path, tmp_path: Path, edges: str) -> None:
    output = tmp_path / "out.mp4"
    frames = render(burst, output, settings(registration="ecc", registration_edges=edges, fps=8))
    raw = [read_image(path) for path in sorted(burst.iterdir())]
    inner = [frame[28:-28, 28:-28] for frame in frames]
    assert unrest(inner) < unrest(raw) / 8
    clip, source = probe(output), probe(burst, fps=settings(fps=8).input.fps)
    assert (clip.width, clip.height) == frames[0].shape[1::-1]
    assert clip.width % 2 == clip.height % 2 == 0
    assert (clip.width < SIZE[0]) == (edges == "crop")
    assert clip.pts_seconds == source.pts_seconds
    assert clip.duration_seconds == source.duration_seconds


def test_an_odd_burst_is_cropped_to_what_an_mp4_can_hold_at_420(tmp_path: Path) -> None:
    source = media.write_pictures(tmp_path / "burst", shaken(4, (161, 121)))[0].parent
    config = settings(registration="homography").model_copy(
        update={"output": vidnst.RenderConfig().output.model_copy(update={"chroma": "420"})}
    )
    vidnst.render(source, style=(), output=tmp_path / "out.mp4", config=config)
    clip = probe(tmp_path / "out.mp4")
    assert clip.width % 2 == clip.height % 2 == 0
    assert clip.pixel_format == "yuv420p"


def test_size_is_that_of_the_cropped_picture(burst: Path, tmp_path: Path) -> None:
    frames = render(burst, tmp_path / "out", settings(registration="ecc", size=96))
    assert max(frames[0].shape) == 96


def test_a_video_keeps_its_uneven_time_stamps_and_its_sound(tmp_path: Path) -> None:
    pts = media.UNEVEN_PTS
    source = media.write_video(tmp_path / "in.mp4", shaken(len(pts)), pts_seconds=pts, sound=("-c:a", "aac"))
    config = settings(registration="homography", deflicker=5, shots="none")
    vidnst.render(source, style=(), output=tmp_path / "out.mp4", config=config)
    before, after = probe(source), probe(tmp_path / "out.mp4")
    assert after.pts_seconds == before.pts_seconds
    assert after.audio_codec == before.audio_codec == "aac"
    assert (after.width, after.height) < (before.width, before.height)


def test_flicker_is_out_of_the_output_and_shots_are_kept_apart(tmp_path: Path) -> None:
    light = 1 + 0.12 * np.array([0, 1, -1, 1, -1, 1, -1, 0, 1, -1, 1, -1])
    dark, bright = scene((96, 64)) * 0.4, scene((96, 64), 4) * 0.9
    frames = [np.rint((dark if n < 6 else bright) * factor).astype(np.uint8) for n, factor in enumerate(light)]
    source = media.write_pictures(tmp_path / "in", frames)[0].parent
    steady = render(source, tmp_path / "out", settings(deflicker=6, shots=(6,)))
    for part in (slice(0, 6), slice(6, 12)):
        assert unrest(steady[part]) < unrest(frames[part]) / 4
    means = [frame.mean() for frame in steady]
    assert max(means[:6]) * 1.5 < min(means[6:]), "nothing is averaged across the cut"


def test_when_nothing_is_asked_for_every_byte_is_as_before(burst: Path, tmp_path: Path) -> None:
    frames = render(burst, tmp_path / "out", settings())
    for frame, path in zip(frames, sorted(burst.iterdir()), strict=True):
        assert np.array_equal(frame, read_image(path))
    assert "adjustments" not in json.loads((tmp_path / "out.vidnst" / "plan.json").read_text())


def test_a_resumed_run_does_not_study_again_and_gives_the_same_bytes(
    burst: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # With one worker, no node ready behind its own, and each result written before the next one is taken, few frames
    # come after the run is asked to stop.
    monkeypatch.setattr("vidnst.runs.async_writer._ROOM", WriteLimits(1))
    monkeypatch.setattr("vidnst.farm.worker_queues.LEAD_SECONDS", float("-inf"))
    config = with_settings(settings(registration="ecc", registration_edges="fill", deflicker=5), {"farm.workers": 1})
    undisturbed = render(burst, tmp_path / "whole", config)
    done: list[Event] = []

    def note(event: Event) -> None:
        done.extend([event] if isinstance(event, FrameDone) else [])

    with pytest.raises(CancelledError):
        render(burst, tmp_path / "out", config, on_event=note, cancelled=lambda: len(done) >= 2)
    assert 2 <= len(done) < 6
    plan = (tmp_path / "out.vidnst" / "plan.json").read_text()
    told: list[Event] = []
    resumed = render(burst, tmp_path / "out", config, on_event=told.append)
    assert all(np.array_equal(a, b) for a, b in zip(resumed, undisturbed, strict=True))
    assert (tmp_path / "out.vidnst" / "plan.json").read_text() == plan
    assert not [event for event in told if isinstance(event, Stage) and event.stage == "studying"]


def test_a_run_stopped_while_it_studies_goes_on(burst: Path, tmp_path: Path) -> None:
    config = settings(registration="homography")
    studied: list[Event] = []

    def note(event: Event) -> None:
        studied.extend([event] if isinstance(event, Stage) and event.stage == "studying" else [])

    with pytest.raises(CancelledError, match="vidnst resume"):
        render(burst, tmp_path / "out", config, on_event=note, cancelled=lambda: len(studied) >= 2)
    assert len(render(burst, tmp_path / "out", config)) == 6


def test_other_settings_for_the_input_are_another_render(burst: Path, tmp_path: Path) -> None:
    render(burst, tmp_path / "out", settings(registration="ecc"))
    with pytest.raises(RunError, match=r"input\.registration_edges: crop -> fill"):
        render(burst, tmp_path / "out", settings(registration="ecc", registration_edges="fill"), overwrite=True)


def test_an_unregistrable_frame_is_told_and_the_render_goes_on(burst: Path, tmp_path: Path) -> None:
    cv2.imwrite(str(burst / "0004.png"), np.full((SIZE[1], SIZE[0], 3), 80, np.uint8))
    told: list[Event] = []
    frames = render(burst, tmp_path / "out", settings(registration="ecc"), on_event=told.append)
    assert len(frames) == 6
    warnings = [str(event) for event in told if isinstance(event, Warned)]
    assert len(warnings) == 1
    assert warnings[0].startswith("1 of 6 frames cannot be registered (4)")


def test_what_the_crop_error_advises_works_at_once(tmp_path: Path) -> None:
    wide = scene((420, 120))
    frames = [wide[:, at : at + 160].copy() for at in (0, 70, 140, 210)]
    source = media.write_pictures(tmp_path / "in", frames)[0].parent
    with pytest.raises(SourceError, match="in common; fill the edges with --register-edges fill"):
        render(source, tmp_path / "out", settings(registration="homography"))
    filled = render(source, tmp_path / "out", settings(registration="homography", registration_edges="fill"))
    assert {frame.shape for frame in filled} == {(120, 160, 3)}


def test_the_output_is_checked_with_the_final_size_before_anything_is_rendered(
    burst: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vidnst.media.output import preflight

    sizes: list[Any] = []

    def check(output: Path, given: Any, *, size: tuple[int, int], **extra: Any) -> None:
        sizes.append(size)
        if len(sizes) == 2:
            raise OutputError("no encoder takes this size")

    monkeypatch.setattr(preflight, "check_output", check)
    told: list[Event] = []
    with pytest.raises(OutputError, match="no encoder"):
        render(burst, tmp_path / "out", settings(registration="ecc"), on_event=told.append)
    assert sizes[0] == SIZE
    assert sizes[1] < SIZE
    assert not [event for event in told if isinstance(event, FrameDone)]


def test_a_dry_run_tells_the_size_after_the_crop(burst: Path, tmp_path: Path) -> None:
    config = settings(registration="ecc")
    told = describe_render(Request(burst, (), tmp_path / "out", config))
    frames = render(burst, tmp_path / "out", config)
    assert told["size"] == [frames[0].shape[1], frames[0].shape[0]]


def test_a_registered_burst_is_stylized_at_its_cropped_size(burst: Path, tmp_path: Path) -> None:
    style = tmp_path / "style.png"
    cv2.imwrite(str(style), scene((64, 64), 8))
    config = settings(registration="ecc", deflicker=5, iterations=4, size=64, end="3")
    vidnst.render(burst, style=style, output=tmp_path / "out", config=config)
    plan = json.loads((tmp_path / "out.vidnst" / "plan.json").read_text())
    shapes = {read_image(path).shape for path in (tmp_path / "out").iterdir()}
    assert shapes == {(plan["height"], plan["width"], 3)}
