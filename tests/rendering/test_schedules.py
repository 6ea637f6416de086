"""Renders by the `keys` schedule: the same bytes for any worker count, separate shots, steadiness, and loops."""

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from support.media import write_pictures
from support.moving_clip import MovingClip
from support.renders import TWO_LAYERS, quick_config, quick_settings, warnings_in

import vidnst
from vidnst.events import Event
from vidnst.frames import to_float
from vidnst.media.images import read_image
from vidnst.motion.flow import Flow
from vidnst.motion.metrics import FlowSampler

SETTINGS = quick_settings(losses=TWO_LAYERS, optimize={"iterations": 20}, schedule={"spacing": 4})


def rendered(
    folder: Path, frames: list[NDArray[np.uint8]], style: Path, changes: Mapping[str, Any], name: str = "out"
) -> tuple[list[NDArray[Any]], list[Event]]:
    """Render frames; return those that come out, and the events."""
    source = folder / "source"
    if not source.exists():
        write_pictures(source, frames)
    events: list[Event] = []
    output, config = folder / name, quick_config(SETTINGS, changes)
    vidnst.render(source, style=style, output=output, config=config, on_event=events.append)
    return [read_image(path) for path in sorted(output.glob("*.png"))], events


def test_keys_schedule_keeps_bytes_for_any_worker_count(tmp_path: Path, style: Path) -> None:
    clip = MovingClip(count=11, width=64, height=48, pan_px=(1.3, 0.4), square_px=12, square_step_px=(2, 1))
    clips = [
        rendered(tmp_path, clip.all_pixels(), style, {"farm": {"workers": workers}}, f"out{workers}")[0]
        for workers in (1, 3)
    ]
    assert len(clips[0]) == 11
    for one, three in zip(*clips, strict=True):
        np.testing.assert_array_equal(one, three)


def test_shots_are_independent(tmp_path: Path, style: Path) -> None:
    first = MovingClip(count=5, width=64, height=48, pan_px=(1, 0), square_px=0, seed=1).all_pixels()
    second = MovingClip(count=6, width=64, height=48, pan_px=(0, 1), square_px=0, seed=7).all_pixels()
    both, _ = rendered(tmp_path / "both", first + second, style, {"input": {"shots": [5]}})
    alone, _ = rendered(tmp_path / "alone", second, style, {})
    for joined, single in zip(both[5:], alone, strict=True):
        np.testing.assert_array_equal(joined, single)


def test_static_lock_holds_still_parts_still(tmp_path: Path, style: Path) -> None:
    noise = np.random.default_rng(3)
    scene = MovingClip(count=9, width=64, height=48, square_px=14, square_step_px=(2, 0), square=(4, 16)).all_pixels()
    grain = [np.clip(f + noise.normal(0, 1.5, f.shape), 0, 255).astype(np.uint8) for f in scene]
    frames, _ = rendered(tmp_path, grain, style, {"motion": {"static_lock": 6.0}})
    below = [frame[40:].astype(int) for frame in frames]  # the square never reaches these rows
    assert max(np.abs(one - below[0]).max() for one in below) <= 1
    moving = [frame[18:28].astype(int) for frame in frames]
    assert np.abs(moving[4] - moving[0]).max() > 20


@pytest.mark.slow
@pytest.mark.parametrize(("scales", "least"), [(1, 0.15), (2, 0.35)], ids=["one scale", "two scales"])
def test_follow_light_keeps_texture_under_changing_light(
    tmp_path: Path, style: Path, scales: int, least: float
) -> None:
    """At two scales brightness is first set at 32x24 pixels, which follow it somewhat less."""
    scene = MovingClip(count=1, width=64, height=48, square_px=0).frame(0)
    lights = [0.75 + 0.25 * np.cos(2 * np.pi * index / 8) for index in range(9)]
    source = [np.rint(scene * light * 255).astype(np.uint8) for light in lights]
    common = {
        "losses": {"temporal_weight": 300.0, "style_weight": 0.5},
        "optimize": {"iterations": 60, "scales": scales},
    }
    follow = {**common, "motion": {"follow_light": True, "static_lock": 4.0}}
    steady = luma(rendered(tmp_path, source, style, follow, "steady")[0])
    boils = {**common, "schedule": {"kind": "independent"}}
    alone = luma(rendered(tmp_path, source, style, boils, "alone")[0])
    assert texture_motion(steady) < 0.5 * texture_motion(alone)
    swing = max(frame.mean() for frame in alone) - min(frame.mean() for frame in alone)
    assert swing > 20
    off = [abs(one.mean() - two.mean()) for one, two in zip(steady, alone, strict=True)]
    assert max(off) < least * swing


def luma(frames: list[NDArray[Any]]) -> list[NDArray[np.float32]]:
    return [to_float(frame) @ np.array([54.2, 182.4, 18.4], np.float32) for frame in frames]


def texture_motion(frames: list[NDArray[np.float32]]) -> float:
    """Mean difference of neighbours brought to one mean and contrast."""
    level = [(frame - frame.mean()) / frame.std() for frame in frames]
    return float(np.mean([np.abs(one - two).mean() for one, two in pairwise(level)]))


def test_loop_closes(tmp_path: Path, style: Path) -> None:
    """A texture goes round once: the last frame leads to the first, though both start from noise."""
    noise = np.random.default_rng(3).integers(0, 256, (6, 16, 3), np.uint8)
    texture = cv2.resize(np.concatenate([noise] * 3, axis=1), (3 * 64, 48), interpolation=cv2.INTER_CUBIC)
    wide = np.asarray(texture[:, 64:128], np.uint8)
    source = [np.roll(wide, 4 * index, axis=1) for index in range(16)]
    vectors_px = np.zeros((48, 64, 2), np.float32)
    vectors_px[..., 0] = -4
    valid = np.full((48, 64), 255, np.uint8)
    valid[:, :12] = valid[:, -12:] = 0  # what comes into view is painted from scratch
    steps = {}
    for loop in (False, True):
        changes = {"schedule": {"loop": loop}, "optimize": {"init": "noise", "iterations": 40}}
        frames = [to_float(frame) for frame in rendered(tmp_path, source, style, changes, f"loop-{loop}")[0]]
        sampler = FlowSampler.from_flow(Flow(vectors_px, valid), 48, 64)
        closing = sampler.pair_error(frames[0], frames[-1]).mean_squared
        others = [sampler.pair_error(late, early).mean_squared for early, late in pairwise(frames)]
        steps[loop] = closing / float(np.mean(others))
    assert steps[True] < 6
    assert steps[True] < 0.1 * steps[False]


def test_loop_over_cuts_is_warned_of(tmp_path: Path, style: Path) -> None:
    clip = MovingClip(count=4, width=64, height=48)
    changes = {"schedule": {"loop": True}, "input": {"shots": [2]}, "optimize": {"iterations": 1}}
    _, events = rendered(tmp_path, clip.all_pixels(), style, changes)
    assert any("2 shots" in warning for warning in warnings_in(events))
