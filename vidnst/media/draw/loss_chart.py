"""Charts of losses over steps on a logarithmic scale, drawn up to a given step."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from vidnst.media.draw.text import ImageBuffer, draw_text, line_height, text_width

_DECADES = 6
"""Decades shown below the largest value; smaller values lie at the bottom."""
_GRID, _FAINT = (222, 222, 222), 0.7
_SUBPIXEL_BITS = 4
_LETTERS_PX, _LINES = 12, 22
"""Least height of letters in pixels; number of text lines on large charts."""


@dataclass(frozen=True, slots=True)
class LossCurve:
    """The values of one loss term."""

    name: str
    colour: tuple[int, int, int]
    values: Sequence[float]
    """One value per step; values that are not positive are left out of the logarithmic chart."""


class LossChart:
    """Draws loss curves up to any step.

    Args:
        steps: steps of the values, ascending, above 0.
        curves: the curves, with one value per step.
        size: width and height in pixels.
        log_steps: True for a logarithmic axis of steps.
        marks: steps that are marked by a vertical line.
    """

    def __init__(
        self,
        steps: Sequence[int],
        curves: Sequence[LossCurve],
        *,
        size: tuple[int, int],
        log_steps: bool = True,
        marks: Sequence[int] = (),
    ) -> None:
        self._steps = steps
        self._curves = [curve for curve in curves if any(value > 0 for value in curve.values)]
        self._log_steps = log_steps
        self._size = size
        self._font_px = max(_LETTERS_PX, size[1] // _LINES)
        values = [value for curve in self._curves for value in curve.values if value > 0] or [1.0]
        self._top = max(values) * 1.1
        self._bottom = max(min(values) / 1.1, self._top / 10**_DECADES)
        named = [f"{curve.name} 0.00e-00" for curve in self._curves]
        legend = max((text_width(text, size=self._font_px) for text in named), default=0)
        line = line_height(size=self._font_px)
        self._box = (4 * self._font_px, line // 2, size[0] - legend - 2 * self._font_px, size[1] - line // 2 - 2 * line)
        self._base = self._axes(marks)

    def draw_until(self, step: int) -> ImageBuffer:
        """Draw the chart at a step: `(height, width, 3)` uint8 RGB; later values are faint."""
        image = self._base.copy()
        count = sum(1 for at in self._steps if at <= step)
        x, row_px = self._box[2] + self._font_px, round(1.5 * self._font_px)
        for row, curve in enumerate(self._curves):
            self._line(image, curve, curve.colour, count, thickness=max(2, self._font_px // 6))
            value = curve.values[count - 1] if count else math.nan
            draw_text(image, f"{curve.name} {value:.3g}", x, 8 + row * row_px, size=self._font_px, colour=curve.colour)
        draw_text(image, f"step {step}", x, 8 + len(self._curves) * row_px, size=self._font_px)
        return image

    def _axes(self, marks: Sequence[int]) -> ImageBuffer:
        image = np.full((self._size[1], self._size[0], 3), 255, np.uint8)
        left, top, right, bottom = self._box
        for value in ticks(self._bottom, self._top):
            y = round(self._y(value))
            cv2.line(image, (left, y), (right, y), _GRID, 1)
            x = left - 4 - text_width(f"{value:g}", size=self._font_px)
            draw_text(image, f"{value:g}", x, y - round(0.65 * self._font_px), size=self._font_px)
        last_right = -math.inf
        for step in self._step_ticks():
            x, text = round(self._x(step)), str(step)
            cv2.line(image, (x, top), (x, bottom), _GRID, 1)
            text_left = x - text_width(text, size=self._font_px) // 2
            if text_left > last_right + 6:
                draw_text(image, text, text_left, bottom + 4, size=self._font_px)
                last_right = text_left + text_width(text, size=self._font_px)
        for mark in marks:
            x = round(self._x(mark))
            for y in range(top, bottom, 6):
                cv2.line(image, (x, y), (x, min(bottom, y + 2)), (120, 120, 120), 1)
        draw_text(image, "loss evaluations", left, bottom + 4 + line_height(size=self._font_px), size=self._font_px)
        for curve in self._curves:
            faint_colour = tuple(round(255 * _FAINT + level * (1 - _FAINT)) for level in curve.colour)
            self._line(image, curve, faint_colour, len(self._steps), thickness=1)
        return image

    def _step_ticks(self) -> list[int]:
        first, last = self._steps[0], self._steps[-1]
        if self._log_steps:
            return [round(value) for value in ticks(max(1, first), max(first + 1, last)) if value >= 1]
        stride = 10 ** max(0, math.floor(math.log10(max(1, last - first))))
        stride = max(1, stride // 4 if (last - first) / stride < 3 else stride)
        return list(range(-(-first // stride) * stride, last + 1, stride))

    def _line(self, image: ImageBuffer, curve: LossCurve, colour: Sequence[int], count: int, *, thickness: int) -> None:
        scale = 1 << _SUBPIXEL_BITS
        places = [
            (round(self._x(step) * scale), round(self._y(value) * scale))
            for step, value in zip(self._steps[:count], curve.values, strict=False)
            if value > 0
        ]
        points = np.array(places or [(0, 0)], np.int32)
        if len(places) == 1:
            cv2.circle(image, tuple(map(int, points[0])), scale, tuple(colour), -1, cv2.LINE_AA, _SUBPIXEL_BITS)
        elif places:
            cv2.polylines(image, [points], False, tuple(colour), thickness, cv2.LINE_AA, _SUBPIXEL_BITS)

    def _x(self, step: float) -> float:
        left, _, right, _ = self._box
        first, last = self._steps[0], self._steps[-1]
        if last == first:
            return left
        if self._log_steps:
            return left + (right - left) * math.log(step / first) / math.log(last / first)
        return left + (right - left) * (step - first) / (last - first)

    def _y(self, value: float) -> float:
        _, top, _, bottom = self._box
        share = math.log(max(value, self._bottom) / self._bottom) / math.log(self._top / self._bottom)
        return bottom - (bottom - top) * share


def ticks(bottom: float, top: float) -> list[float]:
    """Return round numbers between two positive ones: powers of ten, and 2 and 5 times these if they are few."""
    low, high = math.floor(math.log10(bottom)), math.ceil(math.log10(top))
    steps = (1, 2, 5) if high - low <= 3 else (1,)
    candidates = [float(f"{step}e{power}") for power in range(low, high + 1) for step in steps]
    return [value for value in candidates if bottom <= value <= top]
