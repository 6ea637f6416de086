"""A bilateral grid of affine maps of colour: what it recovers, what it keeps, how steady it is."""

import numpy as np
import pytest
from support.moving_clip import MovingClip

from vidnst.frames import luma
from vidnst.media.effects import photo_transfer
from vidnst.media.effects.colour_space import FloatImage

CLIP = MovingClip(count=4, width=128, height=96, pan_px=(2.0, 1.0), square_step_px=(-1.0, 0.0))
SHAPE = photo_transfer.GridShape.of(96, 128, cells=8, luma_bins=6)
MAP = np.array([[0.7, 0.1, 0.0], [0.1, 0.5, 0.1], [0.0, 0.2, 0.6], [0.1, 0.05, 0.12]], np.float32)


def mapped(source: FloatImage, linear: np.ndarray = MAP) -> FloatImage:  # type: ignore[type-arg]
    return np.asarray(source @ linear[:3] + linear[3], np.float32)


def fitted(source: FloatImage, stylized: FloatImage, smoothness: float = 1.0) -> FloatImage:
    return photo_transfer.apply_maps(
        source,
        photo_transfer.solve_maps(photo_transfer.gather_equations(source, stylized, SHAPE, smoothness=smoothness)),
    )


@pytest.mark.parametrize("smoothness", [0.0, 1.0, 3.0])
def test_one_affine_map_is_recovered(smoothness: float) -> None:
    source = CLIP.frame(0)
    assert np.abs(fitted(source, mapped(source), smoothness) - mapped(source)).max() < 1e-3


@pytest.mark.parametrize("smoothness", [0.0, 1.0])
def test_identity_style_changes_nothing(smoothness: float) -> None:
    source = CLIP.frame(0)
    assert np.abs(fitted(source, source, smoothness) - source).max() < 1e-5


def test_map_varying_with_position_and_luma_is_recovered() -> None:
    source = CLIP.frame(0)
    across = np.linspace(0, 1, 128, dtype=np.float32)[None, :, None]
    bright = luma(source)[..., None]
    stylized = mapped(source) * across + source * (1 - across) + 0.4 * bright**2
    off = np.abs(fitted(source, stylized, 0.7) - stylized)
    alone = photo_transfer.GridShape(1, 1, 1)
    one_map = photo_transfer.apply_maps(
        source, photo_transfer.solve_maps(photo_transfer.gather_equations(source, stylized, alone, smoothness=0))
    )
    assert off.mean() < 0.012
    assert off.mean() < np.abs(one_map - stylized).mean() / 3


def test_single_cell_solves_least_squares() -> None:
    source, noise = CLIP.frame(0), np.random.default_rng(0).normal(0, 0.05, (96, 128, 3))
    stylized = (mapped(source) + noise).astype(np.float32)
    maps = photo_transfer.solve_maps(
        photo_transfer.gather_equations(source, stylized, photo_transfer.GridShape(1, 1, 1), smoothness=0)
    )
    known = np.concatenate([source.reshape(-1, 3), np.ones((96 * 128, 1))], -1)
    exact, *_ = np.linalg.lstsq(known, stylized.reshape(-1, 3), rcond=None)
    assert np.allclose(maps[0, 0, 0], exact, atol=0.01)


def test_edges_are_those_of_the_source() -> None:
    source = CLIP.frame(0)
    strokes = np.random.default_rng(1).normal(0, 0.15, (96, 128, 3))
    stylized = np.clip(np.roll(mapped(source), 3, axis=1) + strokes, 0, 1).astype(np.float32)  # also out of place

    def agreement(picture: FloatImage) -> float:
        """Mean cosine between the gradients of luma where the source has edges."""
        own, other = (np.stack(np.gradient(luma(one)), -1) for one in (source, picture))
        strength = np.linalg.norm(own, axis=-1)
        edges = strength > np.quantile(strength, 0.7)
        cosine = (own * other).sum(-1) / (strength * np.linalg.norm(other, axis=-1) + 1e-9)
        return float(cosine[edges].mean())

    result = fitted(source, stylized)
    assert agreement(result) > 0.97
    assert agreement(stylized) < 0.7
    assert np.allclose(result.mean((0, 1)), stylized.mean((0, 1)), atol=0.02), "the colours have arrived"


def test_blended_equations_stabilise_colours_along_motion() -> None:
    random = np.random.default_rng(2)
    sources = [CLIP.frame(index) for index in range(4)]
    wobble = [1.0, 0.8, 1.2, 0.9]
    styled = [
        np.clip(mapped(one) * gain + random.normal(0, 0.03, one.shape), 0, 1).astype(np.float32)
        for one, gain in zip(sources, wobble, strict=True)
    ]

    def unrest(steadiness: float) -> float:
        equations, means = None, []
        for index, (source, stylized) in enumerate(zip(sources, styled, strict=True)):
            now = photo_transfer.gather_equations(source, stylized, SHAPE, smoothness=1.0)
            if equations is not None:
                flow = CLIP.flow(index, index - 1)
                now = photo_transfer.blend_equations(
                    equations, now, flow.vectors_px, flow.valid > 0, steadiness=steadiness
                )
            equations = now
            means.append(
                (
                    photo_transfer.apply_maps(source, photo_transfer.solve_maps(now)) / np.maximum(mapped(source), 0.1)
                ).mean()
            )
        return float(np.abs(np.diff(means)).mean())

    assert unrest(0.8) < 0.4 * unrest(0.0)


def test_equations_are_not_blended_at_invalid_flow() -> None:
    source = CLIP.frame(0)
    before = photo_transfer.gather_equations(source, mapped(source), SHAPE, smoothness=1.0)
    now = photo_transfer.gather_equations(source, source, SHAPE, smoothness=1.0)
    still, nowhere = np.zeros((96, 128, 2), np.float32), np.zeros((96, 128), np.bool_)
    assert np.array_equal(photo_transfer.blend_equations(before, now, still, nowhere, steadiness=0.9), now)
    half = photo_transfer.blend_equations(before, now, still, ~nowhere, steadiness=0.5)
    assert np.allclose(half, (before + now) / 2, atol=1e-6)


def test_blended_equations_move_with_the_flow() -> None:
    source = CLIP.frame(0)
    before = photo_transfer.gather_equations(source, source, SHAPE, smoothness=0.0)
    right = np.full((96, 128, 2), (16.0, 0.0), np.float32)  # one cell: what is here was further right
    moved = photo_transfer.blend_equations(
        before, np.zeros_like(before), right, np.ones((96, 128), np.bool_), steadiness=0.5
    )
    assert np.allclose(moved[:, :, :-1], before[:, :, 1:] / 2, atol=1e-5)


@pytest.mark.parametrize("size", [(1, 1), (5, 40), (96, 128)])
def test_photo_transfer_of_any_size_and_uniform_images(size: tuple[int, int]) -> None:
    shape = photo_transfer.GridShape.of(*size, cells=8, luma_bins=6)
    source, stylized = np.full((*size, 3), 0.3, np.float32), np.full((*size, 3), 0.6, np.float32)
    result = photo_transfer.apply_maps(
        source, photo_transfer.solve_maps(photo_transfer.gather_equations(source, stylized, shape, smoothness=1.0))
    )
    assert np.allclose(result, 0.6, atol=0.01)
