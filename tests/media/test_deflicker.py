"""Brightness over time: flicker goes, what is slower stays, and what does not flicker is not touched."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from vidnst.media.adjust.deflicker import apply_exposure, brightness, exposure_gains, smooth_brightness


def linear(srgb: NDArray[Any]) -> NDArray[Any]:
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def srgb(light: NDArray[Any]) -> NDArray[Any]:
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)


def scene(light: float, kind: Any = np.uint8) -> NDArray[Any]:
    """A picture of mid tones, exposed `light` times as long, without clipping."""
    tones = np.random.default_rng(3).uniform(0.02, 0.3, (60, 80, 3))
    top = np.iinfo(kind).max
    return np.rint(srgb(tones * light) * top).astype(kind)


def flickering(count: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Stops of a slow rise over 1.2 stops, and of flicker around it (a standard deviation of 0.15 stops)."""
    return np.linspace(-0.6, 0.6, count), np.random.default_rng(7).normal(0, 0.15, count)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_known_flicker_is_removed_and_trend_kept(kind: Any) -> None:
    rise, flicker = flickering(60)
    frames = [scene(2.0**stop, kind) for stop in rise + flicker]
    before = [brightness(frame) for frame in frames]
    steady = [apply_exposure(frame, gain) for frame, gain in zip(frames, exposure_gains(before, 25), strict=True)]
    after = np.array([brightness(frame) for frame in steady])
    assert np.diff(before).std() > 0.18
    assert np.diff(after).std() < 0.02, "stops from frame to frame; 0.02 are 1.4 % of light"
    offset = after - after.mean() - rise
    assert np.abs(offset).max() < 0.12
    assert after[-5:].mean() - after[:5].mean() == pytest.approx(rise[-5:].mean() - rise[:5].mean(), abs=0.15)


def test_exposure_is_restored_in_pixels() -> None:
    assert np.abs(apply_exposure(scene(1.25), 1 / 1.25).astype(int) - scene(1.0)).max() <= 2
    assert np.abs(apply_exposure(scene(0.8), 1.25).astype(int) - scene(1.0)).max() <= 2


def test_brightness_changes_by_stops_of_exposure() -> None:
    assert brightness(scene(2.0)) - brightness(scene(1.0)) == pytest.approx(1, abs=0.02)
    assert brightness(scene(1.0, np.uint16)) == pytest.approx(brightness(scene(1.0)), abs=0.02)


def test_bright_lamp_does_not_change_brightness() -> None:
    lit = scene(1.0).copy()
    lit[:12, :20] = 255
    assert abs(brightness(lit) - brightness(scene(1.0))) < 0.1


@pytest.mark.parametrize("stops", [[-2.0] * 30, [0.1 * n for n in range(30)], [-3.0], [-3.0, -1.0]])
def test_gains_without_flicker_are_exactly_one(stops: list[float]) -> None:
    assert exposure_gains(stops, 15) == (1.0,) * len(stops)


def test_flash_does_not_affect_trend() -> None:
    stops = np.full(31, -2.0)
    stops[15] = 1.0
    assert np.abs(smooth_brightness(stops.tolist(), 11) + 2).max() < 0.05
    found = exposure_gains(stops.tolist(), 11)
    assert found[15] == pytest.approx(0.25)
    assert set(found[:15] + found[16:]) == {1.0}


def test_flicker_at_first_and_last_frame_is_removed() -> None:
    stops = [(-1.0) ** n * 0.2 for n in range(40)]
    found = np.array(stops) + np.log2(exposure_gains(stops, 15))
    assert np.abs(found).max() < 0.12
    assert np.abs(np.diff(found)).max() < 0.05


@given(st.lists(st.floats(-12, 0), min_size=1, max_size=40), st.integers(3, 60))
def test_gains_are_finite_and_within_two_stops(stops: list[float], window: int) -> None:
    found = exposure_gains(stops, window)
    assert len(found) == len(stops)
    assert all(math.isfinite(gain) and 0.25 <= gain <= 4 for gain in found)


def test_gain_of_one_is_identity() -> None:
    pixels = scene(1.0)
    assert apply_exposure(pixels, 1.0) is pixels


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize("gain", [0.25, 0.8, 1.1, 4.0])
def test_exposure_keeps_black_white_and_tone_order(kind: Any, gain: float) -> None:
    top = np.iinfo(kind).max
    ramp = np.repeat(np.arange(top + 1, dtype=kind)[None, :, None], 3, axis=2)
    out = apply_exposure(ramp, gain)
    assert out.dtype == kind
    assert (out[0, 0] == 0).all()
    assert (out[0, -1] == top).all()
    steps = np.diff(out[0, :, 0].astype(np.int64))
    assert (steps >= 0).all()
    assert (out[0, : round(top * 0.85)] < top).all(), "nothing clips"


@pytest.mark.parametrize("gain", [0.5, 0.9, 1.3])
def test_gain_and_inverse_cancel(gain: float) -> None:
    ramp = np.repeat(np.arange(65536, dtype=np.uint16)[None, :, None], 3, axis=2)
    back = apply_exposure(apply_exposure(ramp, gain), 1 / gain)
    assert np.abs(back.astype(int) - ramp).max() <= 4


def test_exposure_steps_at_dusk_are_evened_out() -> None:
    dusk = -0.02 * np.arange(240)
    steps = np.floor(np.arange(240) / 40) / 3
    stops = dusk + steps + np.random.default_rng(1).normal(0, 0.03, 240)
    smooth = smooth_brightness(list(stops), 25)
    assert np.abs(np.diff(stops)).max() > 0.3
    assert np.abs(np.diff(smooth)).max() < 0.03
    assert np.abs(np.diff(smooth, 2)).max() < 0.02
