"""The source's colours: under a stylized luma, and in the style picture."""

import json

import cv2
import numpy as np
import pytest

from vidnst.frames import luma
from vidnst.media.effects.colour_space import FloatImage
from vidnst.media.effects.colour_transfer import (
    ColourSample,
    Transfer,
    match_luma,
    sample_colours,
    transfer_chroma,
    transfer_colours,
)


def painting(seed: int, *, mean: float = 0.5, spread: float = 0.1, shape: tuple[int, int] = (48, 64)) -> FloatImage:
    """Soft noise with correlated channels."""
    random = np.random.default_rng(seed)
    mix = np.array([[1, 0.5, 0.2], [0, 0.8, 0.3], [0, 0, 0.5]]) * spread
    noise = random.standard_normal((*shape, 3)) @ np.roll(mix, seed, axis=0)
    return np.clip(noise + mean, 0, 1).astype(np.float32)


def test_transfer_chroma_keeps_luma_and_takes_chroma() -> None:
    source, stylized = painting(0, spread=0.05), painting(1, spread=0.05)
    result = transfer_chroma(source, stylized)
    assert np.allclose(luma(result), luma(stylized), atol=1e-5)
    for channels in ((0, 1), (1, 2)):  # of YIQ, I and Q are differences of channels and nothing else
        one, two = channels
        assert np.allclose(result[..., one] - result[..., two], source[..., one] - source[..., two], atol=1e-5)


def test_out_of_gamut_colours_keep_luma_and_hue() -> None:
    source = np.full((4, 4, 3), (0.9, 0.1, 0.05), np.float32)
    stylized = np.full((4, 4, 3), 0.8, np.float32)
    result = transfer_chroma(source, stylized)
    assert result.max() <= 1
    assert np.allclose(luma(result), 0.8, atol=1e-5)
    chroma, own = result - 0.8, source - luma(source)[..., None]
    assert np.allclose(chroma / chroma[..., :1], own / own[..., :1], atol=1e-4)
    assert 0.1 < chroma[0, 0, 0] < own[0, 0, 0]


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_black_and_white_keep_no_chroma(value: float) -> None:
    result = transfer_chroma(painting(0, spread=0.3), np.full((48, 64, 3), value, np.float32))
    assert np.allclose(result, value, atol=1e-6)


def test_transfer_chroma_to_itself_is_identity() -> None:
    source = painting(3, spread=0.3)
    assert np.allclose(transfer_chroma(source, source), source, atol=1e-5)


def test_match_luma_is_grey_with_mean_and_deviation() -> None:
    source, style = painting(0, mean=0.6, spread=0.06), painting(1, mean=0.3, spread=0.1)
    grey = match_luma(style, sample_colours([source]))
    assert np.array_equal(grey[..., 0], grey[..., 1])
    assert np.array_equal(grey[..., 0], grey[..., 2])
    assert grey.mean() == pytest.approx(luma(source).mean(), abs=2e-3)
    assert grey[..., 0].std() == pytest.approx(luma(source).std(), rel=0.03)
    order = np.corrcoef(grey[..., 0].ravel(), luma(style).ravel())[0, 1]
    assert order > 0.999


def test_moments_transfer_is_least_displacement_map() -> None:
    source, style = painting(0, mean=0.45, spread=0.07), painting(1, spread=0.09)
    colours = sample_colours([source])
    result = transfer_colours(style, colours, "moments").reshape(-1, 3)
    assert np.allclose(result.mean(0), colours.sample.mean(0), atol=2e-3)
    assert np.allclose(np.cov(result.T), np.cov(colours.sample.T), atol=3e-4)
    linear, *_ = np.linalg.lstsq(style.reshape(-1, 3) - style.mean((0, 1)), result - result.mean(0), rcond=None)
    assert np.allclose(linear, linear.T, atol=0.02), "the optimal map of Gaussians is symmetric"
    assert np.linalg.eigvalsh((linear + linear.T) / 2).min() > 0


@pytest.mark.parametrize("transfer", ["histogram", "optimal"])
def test_histogram_transfer_matches_each_channel(transfer: Transfer) -> None:
    source, style = painting(0, mean=0.4, spread=0.12) ** 2, painting(1)
    colours = sample_colours([source])
    result = transfer_colours(style, colours, transfer).reshape(-1, 3)
    steps = np.linspace(0.05, 0.95, 10)
    for channel in range(3):
        wanted = np.quantile(colours.sample[:, channel], steps)
        assert np.allclose(np.quantile(result[:, channel], steps), wanted, atol=0.015)


def test_only_optimal_transfer_matches_joint_distribution() -> None:
    """A source of red and cyan: each channel has both its values, but yellow is nowhere."""
    random = np.random.default_rng(0)
    red = random.random((60, 60, 1)) < 0.5
    source = np.where(red, (0.8, 0.2, 0.2), (0.2, 0.8, 0.8)).astype(np.float32)
    style = random.random((60, 60, 3)).astype(np.float32)

    def strangers(transfer: Transfer) -> float:
        result = transfer_colours(style, sample_colours([source]), transfer)
        near = [np.abs(result - colour).max(-1) < 0.2 for colour in ((0.8, 0.2, 0.2), (0.2, 0.8, 0.8))]
        return 1 - float((near[0] | near[1]).mean())

    assert strangers("optimal") < 0.1 < 0.5 < strangers("histogram")


@pytest.mark.parametrize("transfer", ["histogram", "moments", "optimal"])
def test_transfers_are_deterministic_and_in_range(transfer: Transfer) -> None:
    plain, style = np.full((8, 8, 3), 0.25, np.float32), painting(2)
    style[:10] = 1.0
    for source in (plain, painting(0, spread=0.5)):
        colours = sample_colours([source])
        one, two = (transfer_colours(style, colours, transfer) for _ in range(2))
        assert np.array_equal(one, two)
        assert np.isfinite(one).all()
        assert one.min() >= 0
        assert one.max() <= 1


def test_colour_sample_json_and_equal_frame_shares() -> None:
    frames = [np.full((40, 40, 3), 0.25, np.float32), np.full((90, 160, 3), 0.75, np.float32)]
    colours = sample_colours(frames)
    again = ColourSample.from_json(json.loads(json.dumps(colours.to_json())))
    assert np.array_equal(colours.sample, again.sample)
    assert (colours.sample < 0.5).mean() == pytest.approx(1600 / (1600 + 2048))
    assert len(colours.sample) <= 4096


def test_luma_is_rec_709() -> None:
    one = cv2.merge([np.ones((1, 1), np.float32), np.zeros((1, 1), np.float32), np.zeros((1, 1), np.float32)])
    assert luma(one)[0, 0] == pytest.approx(0.2126)
