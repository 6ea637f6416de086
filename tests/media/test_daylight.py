"""The light of the day: measured without what is fast or small, taken out of frames, and put back by shares."""

import json
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from vidnst.frames import Pixels, Shot, to_float
from vidnst.media.adjust.daylight import Daylight, ShotLight, find_daylight, measure_light
from vidnst.media.adjust.relight import Palette, add_light, even_light

ANY_PAINT = Palette(np.zeros(3, np.float32), np.ones(3, np.float32))
HEIGHT, WIDTH = 90, 160


def scene(level: float, *, spread: float = 0.08) -> NDArray[np.float32]:
    """Soft texture around a level of gamma-encoded grey."""
    texture = np.random.default_rng(2).normal(0, spread, (HEIGHT, WIDTH, 3))
    return np.clip(level + texture, 0, 1).astype(np.float32)


def pixels(picture: NDArray[Any]) -> Pixels:
    return np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8)


def evening(count: int, *, first: float = 0.7, last: float = 0.2) -> list[Pixels]:
    return [pixels(scene(level)) for level in np.linspace(first, last, count)]


def light_of(frames: list[Pixels]) -> ShotLight:
    found = find_daylight([Shot(0, len(frames))], lambda shot, index: frames[index], on_progress=lambda done: None)
    return found.shots[0]


def levels(picture: Pixels) -> float:
    return float(to_float(picture).mean()) * 255


def test_light_follows_an_evening_to_its_last_frame() -> None:
    light = light_of(evening(40))
    for index in (0, 13, 39):
        assert light.at(index).mean() == pytest.approx(0.7 - 0.5 * index / 39, abs=0.012)


def test_flash_and_lamp_are_no_daylight() -> None:
    frames = evening(40, first=0.4, last=0.4)
    calm = light_of(frames).samples
    flashing = list(frames)
    flashing[17] = np.full_like(frames[17], 250)
    assert np.abs(light_of(flashing).samples - calm).max() < 0.01
    for frame in frames[20:]:
        frame[40:44, 60:64] = 255
    assert np.abs(light_of(frames).samples - calm).max() < 0.02


def test_light_of_a_long_shot_has_bounded_samples() -> None:
    frame = pixels(scene(0.5))
    found = find_daylight([Shot(0, 3000)], lambda shot, index: frame[:9, :16], on_progress=lambda done: None)
    assert len(found.shots[0].samples) <= 128


def test_single_frame_has_a_light() -> None:
    light = light_of(evening(1))
    assert np.array_equal(light.at(0), light.mean)


@pytest.mark.parametrize("count", [2, 3, 5, 8, 9, 13])
def test_light_of_short_shots_follows_them(count: int) -> None:
    frames = evening(count)
    light = light_of(frames)
    evened = [levels(even_light(frame, light.at(index), light.mean)) for index, frame in enumerate(frames)]
    assert np.ptp(evened) < 0.12 * np.ptp([levels(frame) for frame in frames])


def test_light_stays_within_what_was_measured() -> None:
    frames = [pixels(scene(0.7 if index < 8 else 0.3)) for index in range(16)]
    means = light_of(frames).samples.mean(axis=(1, 2, 3))
    assert 0.28 < means.min() < means.max() < 0.72


def test_bright_places_are_evened_without_hard_edges() -> None:
    ramp = np.linspace(0.9, 1, WIDTH)[None, :, None] * np.ones((HEIGHT, 1, 3))
    bright, wanted = np.full((14, 24, 3), 0.97, np.float32), np.full((14, 24, 3), 0.6, np.float32)
    evened = to_float(even_light(pixels(ramp), bright, wanted))[HEIGHT // 2, :, 0]
    assert np.abs(np.diff(evened)).max() < 0.01
    assert evened.max() < 0.7


def test_noise_of_a_night_is_not_blown_up() -> None:
    night = pixels(scene(0.03, spread=0.008))
    evened = to_float(even_light(night, measure_light(night), np.full((14, 24, 3), 0.4, np.float32)))
    assert evened.std() < 6 * to_float(night).std()


def test_light_passes_through_its_samples() -> None:
    samples = np.random.default_rng(1).uniform(0.2, 0.8, (5, 2, 3, 3)).astype(np.float32)
    light = ShotLight(10, 15, samples)
    for number in range(5):
        assert np.allclose(light.at(10 + 3 * number + 1), samples[number], atol=1e-6)


def test_daylight_survives_json_exactly() -> None:
    found = Daylight((light_of(evening(30)), ShotLight(30, 12, light_of(evening(12)).samples)))
    back = Daylight.from_json(json.loads(json.dumps(found.to_json())))
    for one, two in zip(found.shots, back.shots, strict=True):
        assert (one.start, one.frames) == (two.start, two.frames)
        assert np.array_equal(one.samples, two.samples)


@pytest.mark.parametrize(
    "change", [{"start": -1}, {"frames": 0}, {"shape": [0, 3]}, {"shape": [99, 99]}, {"samples": [2.0] * 1008}]
)
def test_damaged_daylight_is_refused(change: dict[str, Any]) -> None:
    (values,) = Daylight((light_of(evening(8)),)).to_json()
    with pytest.raises((LookupError, TypeError, ValueError)):
        Daylight.from_json([values | change])


def test_evened_frames_have_the_wanted_light() -> None:
    frames = evening(40)
    light = light_of(frames)
    for index in (0, 20, 39):
        evened = even_light(frames[index], light.at(index), light.mean)
        assert np.abs(measure_light(evened) - light.mean).max() < 0.03


def test_wanted_light_that_a_frame_has_changes_nothing() -> None:
    frame = pixels(scene(0.5))
    light = measure_light(frame)
    assert np.abs(to_float(even_light(frame, light, light)) - to_float(frame)).max() < 1e-4


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_share_of_a_change_moves_the_mean_by_it(share: float) -> None:
    painted = pixels(scene(0.45, spread=0.2))
    change = np.full((14, 24, 3), -0.2, np.float32)
    lit = add_light(painted, painted, change, share=share, palette=ANY_PAINT)
    assert levels(lit) - levels(painted) == pytest.approx(-0.2 * 255 * share, abs=1.5)


def test_light_put_back_whole_restores_the_frame() -> None:
    frames = evening(40)
    light = light_of(frames)
    evened = even_light(frames[39], light.at(39), light.mean)
    lit = add_light(evened, evened, light.at(39) - light.mean, share=1, palette=ANY_PAINT)
    assert np.abs(to_float(lit) - to_float(frames[39])).mean() < 0.03


def test_light_stays_within_the_palette() -> None:
    painted = pixels(scene(0.4))
    darkest = np.full(3, 0.3, np.float32)
    change = np.full((14, 24, 3), -0.3, np.float32)
    lit = add_light(painted, painted, change, share=1, palette=Palette(darkest, np.ones(3, np.float32)))
    assert levels(lit) == pytest.approx(0.3 * 255, abs=2)


def test_sky_is_darkened_without_a_halo_along_a_roof() -> None:
    roof = np.arange(HEIGHT)[:, None] > HEIGHT // 2
    day = np.where(roof[..., None], scene(0.25, spread=0.01), scene(0.8, spread=0.01))
    night = np.where(roof[..., None], scene(0.25, spread=0.01), scene(0.3, spread=0.01))
    change = measure_light(pixels(night)) - measure_light(pixels(day))
    lit = to_float(add_light(pixels(day), pixels(day), change, share=1, palette=ANY_PAINT)).mean(axis=(1, 2))
    above, below = lit[HEIGHT // 2 - 3], lit[HEIGHT // 2 + 4]
    assert above == pytest.approx(0.3, abs=0.08)
    assert below == pytest.approx(0.25, abs=0.08)
