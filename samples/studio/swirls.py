"""A night sky over wheat, in thick directed strokes that turn around its stars."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .strokes import Brush, Canvas, aligned, along_contours, trace, unit
from .texture import Field, Picture, blur, grid, halve, hex_colours, mix, noise_like, ramp, smoothstep

SIZE = (480, 640)
_FINE = 2
"""The canvas is painted this many times larger."""

_STARS = (
    (0.085, 0.125, 0.052),
    (0.205, 0.335, 0.030),
    (0.275, 0.075, 0.026),
    (0.430, 0.085, 0.040),
    (0.620, 0.060, 0.024),
    (0.725, 0.450, 0.034),
    (0.960, 0.455, 0.024),
    (0.060, 0.440, 0.024),
)
"""x and y as shares of the width and height, radius as a share of the width."""
_MOON = (0.850, 0.180, 0.076)
_WHIRLS = ((0.375, 0.345, 0.160, 1.0), (0.590, 0.270, 0.118, -1.0), (0.170, 0.590, 0.070, -1.0))
"""x, y and radius as above, and which way each turns."""

_NIGHT = hex_colours("0f1b45", "16306f", "2350a0", "3f7dbd", "78aac9", "b7cfc4", "efe6b0")
_STAR = hex_colours("fffbe0", "fdeb8f", "f5c93f", "d9a52f", "8fae8a", "3f7dbd")
_WHEAT = hex_colours("4f5426", "97702a", "c8963a", "e6bf55", "f9e7a6")
_HILLS = hex_colours("0e1f3f", "1b3a5e", "2f5d74", "4f8284", "7fa58c")
_CYPRESS = hex_colours("0b1512", "16261a", "2a3d21", "4a5328", "6f5f2f")


@dataclass(frozen=True, slots=True)
class _Study:
    """What is to be painted: colours `(H, W, 3)`, stroke directions `(H, W, 2)`, and how fine each place is."""

    colour: Picture
    directions: NDArray[np.float32]
    detail: Field


def _sky(rng: np.random.Generator, shape: tuple[int, int]) -> _Study:
    height, width = shape
    x, y = grid(shape)
    wander = noise_like(rng, shape, slope=2.4, low=1)
    stream = y / height * 1.15 + 0.035 * wander + 0.05 * np.sin(x / width * 7.0 + 0.8)
    bands = np.sin(stream * 88 + 1.6 * wander) * 0.55 + np.sin(stream * 31 + 2) * 0.45
    whirls = [_whirl(x / width, y / width, whirl, 0.35 * wander) for whirl in _WHIRLS]
    light = np.zeros(shape, np.float32)
    for _, arms, hold in whirls:
        bands = bands * (1 - hold) + arms * hold
        light = np.maximum(light, hold)
    colour_of_stars = np.zeros((*shape, 3), np.float32)
    cover = np.zeros(shape, np.float32)
    for cx, cy, radius in (*_STARS, _MOON):
        away = np.hypot(x - cx * width, y - cy * height) / (radius * width)
        hold = np.exp(-((away / 1.9) ** 4))
        stream = stream * (1 - hold) + hold * (1.2 * away)
        halo = smoothstep(2.0, 0.15, away + 0.10 * np.sin(away * 9) + 0.04 * wander)
        ring = ramp(away * (1 + 0.12 * np.sin(away * 11)), [0.0, 0.42, 0.72, 1.05, 1.5, 2.1], _STAR)
        colour_of_stars = mix(colour_of_stars, ring, halo > cover)
        cover = np.maximum(cover, halo)
    height_light = 0.20 * smoothstep(0.15, 0.66, y / height)
    colour = ramp(0.24 + 0.20 * bands + light * (0.20 + 0.22 * bands) + height_light, np.linspace(0, 1, 7), _NIGHT)
    colour = mix(colour, colour_of_stars, cover)
    directions = along_contours(blur(stream, 3))
    for along, _, hold in whirls:
        directions = unit(mix(directions, aligned(along, directions), hold * (1 - smoothstep(0.0, 0.5, cover))))
    return _Study(_crescent(colour), directions, smoothstep(0.2, 0.7, cover))


def _whirl(
    x: ArrayLike, y: ArrayLike, whirl: tuple[float, float, float, float], wander: ArrayLike
) -> tuple[NDArray[np.float32], Field, Field]:
    """Directions along a logarithmic spiral, its light and dark arms in [-1, 1], and how far it rules a place.

    `x` and `y` are both in shares of the picture's width.
    """
    dx, dy = np.asarray(x) - whirl[0], (np.asarray(y) - whirl[1] * SIZE[0] / SIZE[1]) * 1.08
    away = np.hypot(dx, dy) / whirl[2]
    tightness, arms, turn = 5.2, 2.0, whirl[3]
    phase = tightness * np.log(away + 0.12) + turn * arms * np.arctan2(dy, dx) + np.asarray(wander)
    outward = np.stack([dx, dy], -1) / np.maximum(away * whirl[2], 1e-6)[..., None]
    around = np.stack([-outward[..., 1], outward[..., 0]], -1)
    along = unit((tightness * around - turn * arms * outward).astype(np.float32))
    hold = np.exp(-((away / 1.05) ** 4))
    light = np.sin(phase) * 0.75 + 0.25 * np.sin(3 * phase + 1)
    return along, light.astype(np.float32), hold.astype(np.float32)


def _crescent(colour: Picture) -> Picture:
    height, width = colour.shape[:2]
    x, y = grid((height, width))
    cx, cy, radius = _MOON[0] * width, _MOON[1] * height, _MOON[2] * width * 0.70
    disc = np.hypot(x - cx, y - cy) < radius
    bite = np.hypot(x - cx + 0.55 * radius, y - cy + 0.12 * radius) < 0.86 * radius
    colour = mix(colour, hex_colours("f59a1c")[0], disc & ~bite)
    return mix(colour, hex_colours("f8e48a")[0], disc & bite)


def _land(rng: np.random.Generator, shape: tuple[int, int], sky: _Study) -> _Study:
    """Three ridges and a field of wheat laid over the sky, each brushed along its own form."""
    height, width = shape
    x, y = grid(shape)
    share = x / width
    colour, directions, detail = sky.colour, sky.directions, sky.detail
    ridges = (
        (0.665, 0.040 * np.sin(share * 5.2 + 0.4) + 0.022 * np.sin(share * 13), _HILLS, 0.60),
        (0.735, 0.034 * np.sin(share * 4.1 + 2.7) + 0.012 * np.sin(share * 15 + 1), _HILLS, 0.36),
        (0.815, 0.030 * np.sin(share * 3.3 + 4.4), _WHEAT, 0.52),
    )
    for level, bumps, palette, lightness in ridges:
        below = y / height - (level + bumps)
        wander = noise_like(rng, shape, slope=2.0, low=2)
        fall = np.clip(below * 6, 0, 1)
        furrows = np.sin((below * (1 + 0.9 * np.sin(share * 4 + level * 9)) * 75) + 1.2 * wander)
        tone = lightness + 0.17 * furrows + 0.13 * wander - 0.12 * fall
        land = ramp(tone, np.linspace(0, 1, 5), palette)
        edge = np.exp(-((below / 0.0065) ** 2))
        land = mix(land, palette[0] * 0.8, 0.85 * edge)
        slant = (
            0.55 * np.sin(share * 9 + level * 20) * fall if palette is not _WHEAT else -1.1 - 0.5 * np.sin(share * 6)
        )
        grade = np.gradient(bumps * height, axis=1).astype(np.float32)
        along = unit(np.stack([np.ones(shape, np.float32), grade + slant], -1).astype(np.float32))
        inside = (below > 0).astype(np.float32)
        colour = mix(colour, land, inside)
        directions = mix(directions, along, inside)
        detail = np.maximum(detail * (1 - inside), np.maximum(0.35 * inside, edge * 0.9))
    return _Study(colour, directions, detail)


def _cypresses(rng: np.random.Generator, shape: tuple[int, int], study: _Study) -> _Study:
    """Two dark trees like flames before everything else."""
    height, width = shape
    x, y = grid(shape)
    colour, directions, detail = study.colour, study.directions, study.detail
    wander = noise_like(rng, shape, slope=2.0, low=3)
    for root, top, half in ((0.905, 0.36, 0.047), (0.822, 0.55, 0.032)):
        rise = np.clip((1.02 - y / height) / (1.02 - top), 0, 1.2)
        sway = 0.012 * np.sin(rise * 7 + root * 30)
        reach = half * np.abs(np.sin(np.pi * np.clip(rise, 0, 1) ** 0.62)) ** 0.8
        reach = reach * (1 + 0.18 * np.sin(rise * 26 + np.sign(x / width - root) * 1.3))
        offset = x / width - root - sway
        inside = ((np.abs(offset) < reach) & (rise < 1) & (rise > 0)).astype(np.float32)
        lick = np.sin(offset / half * 6 + rise * 9 + 0.8 * wander)
        tone = 0.34 + 0.26 * lick + 0.12 * wander
        flame = ramp(tone, np.linspace(0, 1, 5), _CYPRESS)
        upward = unit(
            np.stack([0.55 * np.sin(rise * 12 + offset / half * 2.5), -np.ones_like(x)], -1).astype(np.float32)
        )
        colour = mix(colour, flame, inside)
        directions = mix(directions, upward, inside)
        detail = np.maximum(detail * (1 - inside), 0.5 * inside)
    return _Study(colour, unit(directions), detail)


def _jittered(rng: np.random.Generator, shape: tuple[int, int], spacing: float) -> NDArray[np.float32]:
    """Points `(N, 2)` of x, y, one in each cell of a grid, in random order."""
    height, width = shape
    y, x = np.mgrid[0:height:spacing, 0:width:spacing]
    points = np.stack([x.ravel(), y.ravel()], -1) + rng.uniform(0, spacing, (x.size, 2))
    return rng.permutation(points).astype(np.float32)


def _mixed(rng: np.random.Generator, colours: Picture, *, spread: float) -> Picture:
    """The colours as a painter mixes them for each stroke: lighter or darker, warmer or cooler."""
    count = len(colours)
    lightness = 1 + spread * rng.standard_normal((count, 1))
    warmth = spread * 0.45 * rng.standard_normal((count, 1)) * np.array([[1.0, 0.25, -1.0]])
    green = spread * 0.25 * rng.standard_normal((count, 1)) * np.array([[-0.4, 1.0, 0.1]])
    return np.asarray(np.clip(colours * lightness + warmth + green, 0.02, 1), np.float32)


def _lay(
    canvas: Canvas, rng: np.random.Generator, study: _Study, brush: Brush, *, spacing: float, finest: float
) -> None:
    """One layer of strokes, where the study is at least as detailed as `finest`."""
    shape = study.detail.shape
    starts = _jittered(rng, (shape[0], shape[1]), spacing)
    rows = np.clip(starts[:, 1], 0, shape[0] - 1).astype(np.intp)
    columns = np.clip(starts[:, 0], 0, shape[1] - 1).astype(np.intp)
    chosen = study.detail[rows, columns] + 0.25 * rng.random(len(starts)) >= finest
    starts, rows, columns = starts[chosen], rows[chosen], columns[chosen]
    colours = _mixed(rng, study.colour[rows, columns], spread=0.10)
    paths = trace(study.directions, starts, points=15, step=brush.length / 14)
    for path, colour in zip(paths, colours, strict=True):
        canvas.stroke(rng, path, colour, brush)


def paint(seed: int) -> Picture:
    """The picture: `(480, 640, 3)` float32, RGB in [0, 1]."""
    rng = np.random.default_rng(seed)
    shape = (SIZE[0] * _FINE, SIZE[1] * _FINE)
    study = _cypresses(rng, shape, _land(rng, shape, _sky(rng, shape)))
    canvas = Canvas(study.colour * 0.55)
    _lay(canvas, rng, study, Brush(width=26, length=120, load=0.6), spacing=17, finest=0.0)
    _lay(canvas, rng, study, Brush(width=15, length=84, spread=0.07), spacing=13, finest=0.0)
    _lay(canvas, rng, study, Brush(width=9, length=52, spread=0.08, load=0.95), spacing=11, finest=0.28)
    _lay(canvas, rng, study, Brush(width=6, length=30, spread=0.08, load=1.0), spacing=8, finest=0.62)
    return halve(canvas.picture(depth=5.0))
