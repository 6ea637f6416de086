"""A mountain lake with the sun setting behind the peak, as a woodcut in black, red and ochre.

The cuts follow the form of what they show: rays around the sun, slopes down the mountain, level lines on the water.
The second block prints red and ochre where the sun reaches.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from .block import Drawing, blank, carved, printed
from .texture import Picture, blur, grid, halve, look_up, noise_like, smoothstep, tileable_noise

SIZE = (480, 640)
_FINE = 2
"""The block is cut this many times larger."""

_HORIZON = 0.645
_SUN = (0.60, 0.335, 0.118)
"""x and y as shares of the width and height, radius as a share of the width."""
_PEAKS = (
    (-0.05, 0.56),
    (0.07, 0.43),
    (0.14, 0.47),
    (0.24, 0.27),
    (0.29, 0.31),
    (0.385, 0.115),
    (0.43, 0.19),
    (0.47, 0.175),
)
_FOOTHILLS = ((0.56, 0.36), (0.62, 0.40), (0.70, 0.52), (0.78, 0.47), (0.86, 0.55), (0.94, 0.5), (1.05, 0.58))
_RIDGE = (*_PEAKS, *_FOOTHILLS)
"""The crest of the mountains: shares of the width and of the height."""


def _sky(drawing: Drawing, rng: np.random.Generator) -> Drawing:
    """Rays around the sun, the sun itself, and long clouds."""
    height, width = size = drawing.tone.shape
    x, y = grid((height, width))
    dx, dy = x - _SUN[0] * width, y - _SUN[1] * height
    away = np.hypot(dx, dy) / (_SUN[2] * width)
    wander = noise_like(rng, (height, width), slope=2.2, low=2)
    tone = 0.90 - 0.13 * (away - 1) - 0.24 * smoothstep(0.34, 0.0, y / height) + 0.04 * wander
    glow = smoothstep(3.4, 0.9, away)
    everywhere = np.ones(size, bool)
    drawing = drawing.with_part(
        everywhere,
        np.clip(tone, 0.30, 0.92).astype(np.float32),
        (dx, dy),
        8.2,
        red=0.25 * glow,
        ochre=0.25 + 0.75 * glow,
    )
    drawing = drawing.with_part(away < 1, np.ones(size, np.float32), (1, 0), 8, red=1.0)
    rim = (away >= 1) & (away < 1.045)
    drawing = drawing.with_part(rim, np.zeros(size, np.float32), (-dy, dx), 8)
    clouds = (
        (0.80, 0.160, 0.22, 0.080),
        (0.15, 0.135, 0.20, 0.075),
        (0.93, 0.305, 0.15, 0.056),
        (0.45, 0.050, 0.15, 0.042),
    )
    for cx, cy, half, tall in clouds:
        drawing = _cloud(drawing, rng, (cx * width, cy * height), half * width, tall * height)
    return drawing


def _cloud(
    drawing: Drawing, rng: np.random.Generator, centre: tuple[float, float], half: float, tall: float
) -> Drawing:
    """One cloud of overlapping domes, each cut around a middle below its foot."""
    size = drawing.tone.shape
    x, y = grid((size[0], size[1]))
    foot = centre[1] + 0.3 * tall
    places = np.linspace(-0.9, 0.9, 7) + rng.normal(0, 0.05, 7)
    for place in sorted(places, key=lambda at: abs(at)):  # the middle behind, the flanks before it
        radius = tall * (1.75 - 1.15 * abs(place)) * rng.uniform(0.85, 1.1)
        middle = foot + 0.18 * radius
        dx, dy = (x - centre[0] - place * half) / 1.35, y - middle
        away = np.hypot(dx, dy) / radius
        inside = (away < 1) & (y < foot + 2.5 * np.sin(x / 19 + place * 9))
        tone = np.clip(1.40 * away**1.3 - 0.10 + 0.15 * dx / radius, 0.12, 0.96)
        tone = np.where(away > 0.955, 0, tone).astype(np.float32)
        drawing = drawing.with_part(inside, tone, (-dy * 1.35, dx), 7.0, ochre=0.12)
    return drawing


def _mountains(drawing: Drawing, rng: np.random.Generator) -> Drawing:
    """Peaks with a bright face toward the sun and a dark one away from it, cut down the slope."""
    height, width = size = drawing.tone.shape
    x, y = grid((height, width))
    xs, ys = np.array(_RIDGE).T
    rough = noise_like(rng, (2, width), slope=2.0, low=5)[0]
    crest = (np.interp(np.arange(width) / width, xs, ys) * height + 5 * rough).astype(np.float32)
    below = y - crest[None]
    inside = (below > 0) & (y < _HORIZON * height)
    wander = noise_like(rng, (height, width), slope=1.9, low=3)
    tone = np.full(size, 0.5, np.float32)
    lean = np.zeros(size, np.float32)
    bent = x + 26 * wander * np.clip(below / 120, 0, 1)
    for peak, (left, right) in zip(xs[1:-1] * width, zip(xs[:-2] * width, xs[2:] * width, strict=True), strict=True):
        spread = 1 - np.clip(np.abs(bent - peak) / np.where(bent < peak, peak - left, right - peak), 0, 1)
        sunny = bent > peak if peak < _SUN[0] * width else bent < peak
        here = spread > 0.5
        tone = np.where(here, np.where(sunny, 0.88, 0.24), tone)
        lean = np.where(here, np.where(bent > peak, 0.62, -0.62), lean)
    gully = np.sin((bent - lean * below) / 17 + 2.2 * wander)
    tone = tone + 0.20 * gully - 0.30 * smoothstep(0, 0.42 * height, below) * (tone > 0.4)
    snow = (below < 46 + 16 * gully + 10 * wander) & (tone > 0.45) & (crest[None] < 0.36 * height)
    tone = np.where(snow, 1.0, tone)
    tone = np.where(below < 4.5, 0, np.clip(tone, 0.03, 1)).astype(np.float32)
    ochre = 0.55 * smoothstep(0.5, 0.9, tone)
    return drawing.with_part(inside, tone, (lean + 0.16 * gully, np.ones_like(x)), 7.0, ochre=np.where(snow, 0, ochre))


def _lake(drawing: Drawing, rng: np.random.Generator) -> Drawing:
    """Level cuts that open under the sun and close under the mountain."""
    height, width = drawing.tone.shape
    x, y = grid((height, width))
    near = np.clip((y / height - _HORIZON) / (1 - _HORIZON), 0, 1)
    ripple = tileable_noise(rng, 512, slope=1.5, low=3, high=40)
    away = 1 / (near + 0.10)
    waves = look_up(ripple, (x / width - 0.5) * away * 0.28, away * 0.55)
    mirror = np.clip(2 * _HORIZON * height - y + 8 * waves, 0, height - 1).astype(np.intp)
    tone = 0.80 * drawing.tone[mirror, x.astype(np.intp)]
    tone = blur(tone.astype(np.float32), 7) * 0.85
    column = np.exp(-(((x / width - _SUN[0] - 0.006 * waves) / (0.055 + 0.075 * near)) ** 2))
    tone = tone + 0.85 * column * (0.75 + 0.35 * waves) + 0.17 * waves - 0.22 * near
    inside = y >= _HORIZON * height
    shore = y < _HORIZON * height + 5
    tone = np.where(shore, 0, np.clip(tone, 0, 0.96)).astype(np.float32)
    wavy = 0.10 * waves * (0.3 + near)
    return drawing.with_part(
        inside,
        tone,
        (np.ones_like(x), wavy),
        7.6,
        red=0.95 * smoothstep(0.25, 0.6, column),
        ochre=0.35 * column,
    )


def _spruce(size: tuple[int, int], rng: np.random.Generator, x: float, foot: float, tall: float) -> NDArray[np.bool_]:
    """A spruce of drooping boughs, `x` and `foot` in pixels."""
    mask = np.zeros(size, np.uint8)
    cv2.line(mask, (int(x), int(foot)), (int(x), int(foot - tall)), 1, max(2, int(tall / 40)))
    boughs = int(tall / 9)
    for number in range(boughs):
        up = number / boughs
        y = foot - tall * (0.07 + 0.92 * up)
        for side in (-1, 1):
            reach = tall * 0.21 * (1 - up) ** 0.8 * rng.uniform(0.75, 1.2) + 3
            droop = reach * rng.uniform(0.30, 0.55)
            top = [(0, -0.055 * tall), (0.6 * reach, 0.35 * droop), (reach, droop)]
            bottom = [(0.72 * reach, 1.05 * droop), (0.4 * reach, 0.9 * droop), (0, 0.02 * tall)]
            bough = np.array([*top, *bottom]) * (side, 1) + np.array([x, y])
            cv2.fillPoly(mask, [np.rint(bough).astype(np.int32)], 1)
    return mask.astype(bool)


def _shore(drawing: Drawing, rng: np.random.Generator) -> Drawing:
    """A far line of woods, then near banks with spruces that stand against the water."""
    height, width = size = (drawing.tone.shape[0], drawing.tone.shape[1])
    x, y = grid(size)
    share = x / width
    top = _HORIZON - 0.022 - 0.012 * np.abs(np.sin(share * 47)) - 0.010 * np.abs(np.sin(share * 83 + 1))
    woods = (y / height > top) & (y / height < _HORIZON + 0.004)
    drawing = drawing.with_part(woods, np.full(size, 0.10, np.float32), (0.1, 1), 7.5)
    wander = noise_like(rng, size, slope=2.0, low=3)
    banks = np.minimum(
        0.99 - 0.20 * np.exp(-((share / 0.30) ** 2)), 1.03 - 0.17 * np.exp(-(((share - 1.0) / 0.22) ** 2))
    )
    below = y / height - banks - 0.006 * wander
    slope = np.gradient(banks * height, axis=1)
    tone = np.clip(0.62 + 0.30 * np.sin(below * 70 + 2 * wander) - 2.2 * below, 0.08, 0.9)
    tone = np.where(below < 0.007, 0, tone).astype(np.float32)
    drawing = drawing.with_part(below > 0, tone, (np.ones_like(x), slope + 0.4 * np.sin(share * 23)), 7.4, ochre=0.4)
    trees = (
        (0.045, 0.93, 0.60),
        (0.155, 0.90, 0.40),
        (0.235, 0.93, 0.27),
        (0.945, 0.97, 0.47),
        (0.865, 0.99, 0.30),
    )
    for at, foot, tall in trees:
        spruce = _spruce(size, rng, at * width, foot * height, tall * height)
        halo = cv2.dilate(spruce.astype(np.uint8), np.ones((7, 7), np.uint8)).astype(bool)
        drawing = drawing.with_part(halo, np.ones(size, np.float32), (0, 1), 8, ochre=0.2)
        offset = (x - at * width) / width
        lit = np.clip(0.13 + 0.16 * np.sign(offset) * (1 if at < _SUN[0] else -1) + 0.10 * wander, 0, 0.5)
        drawing = drawing.with_part(spruce, lit.astype(np.float32), (np.sign(offset) * 1.0, 0.75 + 0 * x), 8.5)
    return drawing


def paint(seed: int) -> Picture:
    """The picture: `(480, 640, 3)` float32, RGB in [0, 1]."""
    rng = np.random.default_rng(seed)
    drawing = _sky(blank((SIZE[0] * _FINE, SIZE[1] * _FINE)), rng)
    drawing = _shore(_lake(_mountains(drawing, rng), rng), rng)
    return halve(np.clip(printed(rng, drawing, carved(rng, drawing)), 0, 1))
