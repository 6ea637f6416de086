"""Restyling a sound: its texture becomes that of the style, its length, levels and onsets stay."""

import numpy as np
import pytest
import torch
from support.sounds import RATE, click_places, clicks, level_curve, rain, syllables

from vidnst.errors import NumericalError
from vidnst.style.sound.chunks import Samples
from vidnst.style.sound.noise import shaped_noise
from vidnst.style.sound.restyle import SoundStylizer
from vidnst.style.sound.spectrum import HOPS_PER_WINDOW, power_spectrum, window_length
from vidnst.style.sound.texture import random_filters, texture_of

CPU = torch.device("cpu")
WINDOW = window_length(RATE)
DEFAULT = 0.5


def at_level(sound: Samples) -> Samples:
    return sound * np.float32(0.07 / sound.std())


@pytest.fixture(scope="module")
def stylizer() -> SoundStylizer:
    return SoundStylizer(at_level(rain()), RATE, filters=64, seed=0, device=CPU)


def distance(sound: Samples, *, seed: int) -> float:
    """Return the distance of the filters' Gram matrix from that of the rain, relative to it."""
    filters = random_filters(64, WINDOW, seed)
    mine, goal = (texture_of(torch.from_numpy(part), WINDOW, filters).filters for part in (sound, at_level(rain())))
    return float((mine - goal).norm() / goal.norm())


def likeness(one: Samples, two: Samples) -> float:
    return float(np.corrcoef(level_curve(one), level_curve(two))[0, 1])


@pytest.mark.parametrize(
    ("rate", "length"), [(8000, 256), (22_050, 1024), (44_100, 2048), (48_000, 2048), (96_000, 4096)]
)
def test_windows_last_as_long_at_any_rate(rate: int, length: int) -> None:
    assert window_length(rate) == length


@pytest.mark.parametrize("samples", [1, 100, 256, 8000])
def test_short_sounds_have_enough_windows(samples: int) -> None:
    power = power_spectrum(torch.ones(2, samples), WINDOW)
    assert power.shape[:2] == (2, WINDOW // 2 + 1)
    assert power.shape[2] == max(11, 1 + samples // (WINDOW // HOPS_PER_WINDOW))


def test_texture_does_not_depend_on_when() -> None:
    filters = random_filters(32, WINDOW, 1)
    sound = torch.from_numpy(rain())
    turned = torch.roll(sound, RATE, 1)
    assert texture_of(turned, WINDOW, filters).distance(texture_of(sound, WINDOW, filters)).item() < 2e-3


def test_default_strength_moves_style_and_keeps_envelope(stylizer: SoundStylizer) -> None:
    source = at_level(syllables())
    result = stylizer.restyle(source, strength=DEFAULT, iterations=40).samples
    assert distance(result, seed=0) < distance(source, seed=0) / 5
    assert distance(result, seed=7) < distance(source, seed=7) / 3  # filters that were not optimised
    assert likeness(source, result) > 0.8


def test_strength_moves_both_monotonically(stylizer: SoundStylizer) -> None:
    source = at_level(syllables())
    results = [stylizer.restyle(source, strength=strength, iterations=40) for strength in (0.0, 0.25, 0.5, 0.75, 1.0)]
    away = [distance(result.samples, seed=0) for result in results]
    alike = [likeness(source, result.samples) for result in results]
    assert away == sorted(away, reverse=True)
    assert alike == sorted(alike, reverse=True)
    np.testing.assert_array_equal(results[0].samples, source)


def test_clicks_stay_within_a_hop(stylizer: SoundStylizer) -> None:
    source = at_level(clicks())
    result = stylizer.restyle(source, strength=DEFAULT, iterations=40).samples
    assert result.shape == source.shape
    hop = WINDOW // HOPS_PER_WINDOW
    for place in click_places():
        around = np.abs(result[0, place - 800 : place + 800])
        loud = np.flatnonzero(around > 0.25 * around.max())[0] + place - 800
        assert abs(loud - place) <= hop


def test_silence_stays_silent(stylizer: SoundStylizer) -> None:
    silence = np.zeros((2, RATE), np.float32)
    assert not stylizer.restyle(silence, strength=1.0, iterations=5).samples.any()


def test_channels_share_filters(stylizer: SoundStylizer) -> None:
    one, two = at_level(syllables(1.0)), at_level(clicks(1.0))
    both = stylizer.restyle(np.concatenate([one, two]), strength=DEFAULT, iterations=8).samples
    turned = stylizer.restyle(np.concatenate([two, one]), strength=DEFAULT, iterations=8).samples
    np.testing.assert_allclose(both, turned[::-1], atol=2e-3)


def test_same_seed_gives_the_same_bytes() -> None:
    source = at_level(syllables(1.0))
    results = [
        SoundStylizer(at_level(rain()), RATE, filters=16, seed=seed, device=CPU)
        .restyle(source, strength=DEFAULT, iterations=5)
        .samples.tobytes()
        for seed in (1, 1, 2)
    ]
    assert results[0] == results[1] != results[2]


def test_values_that_are_not_finite_are_an_error(stylizer: SoundStylizer) -> None:
    with pytest.raises(NumericalError, match="not finite"):
        stylizer.restyle(np.full((1, RATE), np.inf, np.float32), strength=DEFAULT, iterations=2)


def test_noise_has_spectrum_and_level_of_the_style() -> None:
    style = rain(channels=2)
    noise = np.concatenate(list(shaped_noise(style, RATE, 3 * RATE + 1, seed=4)), 1)
    assert noise.shape == (2, 3 * RATE + 1)
    assert noise.std() == pytest.approx(style.std(), rel=0.1)
    wanted, found = (power_spectrum(torch.from_numpy(part), WINDOW).mean((0, 2)) for part in (style, noise))
    assert torch.corrcoef(torch.stack([wanted, found]).log())[0, 1] > 0.9


def test_noise_is_no_texture_until_it_is_restyled(stylizer: SoundStylizer) -> None:
    noise = np.concatenate(list(shaped_noise(at_level(rain()), RATE, 2 * RATE, seed=4)), 1)
    result = stylizer.restyle(noise, strength=1.0, iterations=40, held=False).samples
    assert distance(result, seed=0) < distance(noise, seed=0) / 2
