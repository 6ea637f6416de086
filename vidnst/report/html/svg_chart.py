"""Line charts as inline SVG, in the colours of the page's style sheet."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from vidnst.formatting import format_number
from vidnst.report.html.markup import Html, el

_WIDTH, _HEIGHT = 380, 170
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 8, 10, 22
_MAX_POINTS = 400


@dataclass(frozen=True, slots=True)
class Series:
    """A line of a chart."""

    name: str
    values: Sequence[tuple[int, float]]
    """Frame and value, frames ascending; finite values."""


def line_chart(
    title: str, series: Sequence[Series], *, cuts: Sequence[int] = (), marks: Sequence[int] = (), note: str = ""
) -> Html | None:
    """Draw a figure with a caption; None if there is nothing to show.

    Args:
        title: what is shown, with its unit.
        series: one to three lines; those without values are left out.
        cuts: frames at which a shot begins, shown as thin lines.
        marks: frames that stand out, shown as dots on the first line.
        note: a sentence under the title.
    """
    shown = [line for line in series if line.values]
    if not shown:
        return None
    frames = [frame for line in shown for frame, _ in line.values]
    scale = _Scale(min(frames), max(frames), *_limits([value for line in shown for _, value in line.values]))
    parts = [*_grid(scale), *_cuts(scale, cuts)]
    for place, line in reversed(list(enumerate(shown))):  # the first lies on top
        parts.append(el("polyline", points=_points(scale, thin_out(line.values)), cls=f"line s{place}"))
    at = dict(shown[0].values)
    parts += [el("circle", cx=scale.x(f), cy=scale.y(at[f]), r=3, cls="mark") for f in marks if f in at]
    alternative = f"{title}. {' '.join(summary(line) for line in shown)}"
    drawing = el("svg", *parts, viewBox=f"0 0 {_WIDTH} {_HEIGHT}", role="img", aria_label=alternative)
    legend = [el("span", line.name, cls=f"key s{place}") for place, line in enumerate(shown)] if len(shown) > 1 else []
    words = el("figcaption", el("b", title), *legend, el("small", note) if note else None)
    return el("figure", words, drawing, cls="chart")


def summary(line: Series) -> str:
    """Describe a line in a sentence."""
    values = [value for _, value in line.values]
    frame, highest = max(line.values, key=lambda point: point[1])
    mean, lowest = format_number(math.fsum(values) / len(values)), format_number(min(values))
    return f"{line.name}: mean {mean}, lowest {lowest}, highest {format_number(highest)} at frame {frame}."


def thin_out(values: Sequence[tuple[int, float]]) -> list[tuple[int, float]]:
    """Reduce a line to some hundred points that look the same: the lowest and the highest of each stretch."""
    if len(values) <= _MAX_POINTS:
        return list(values)
    length = math.ceil(len(values) / (_MAX_POINTS // 2))
    extremes = []
    for begin in range(0, len(values), length):
        part = values[begin : begin + length]
        extremes += sorted({min(part, key=lambda p: p[1]), max(part, key=lambda p: p[1])})
    return extremes


def ticks(low: float, high: float) -> list[float]:
    """Round numbers from `low` to `high`, three to eight of them."""
    step = 10.0 ** math.floor(math.log10((high - low) / 3))
    step *= next((factor for factor in (5, 2) if (high - low) / (step * factor) >= 3), 1)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [place * step for place in range(first, last + 1)]


def _limits(values: Sequence[float]) -> tuple[float, float]:
    """Lowest and highest value of the axis, which begins at 0 unless all values are far from it."""
    low, high = min(values), max(values)
    if low >= 0 and low < 0.6 * high:
        low = 0.0
    room = (high - low) * 0.06 or abs(high) * 0.1 or 1.0
    return (low if low == 0 else low - room), high + room


@dataclass(frozen=True, slots=True)
class _Scale:
    first: int
    last: int
    low: float
    high: float

    def x(self, frame: float) -> float:
        share = (frame - self.first) / (self.last - self.first) if self.last > self.first else 0.5
        return round(_LEFT + share * (_WIDTH - _LEFT - _RIGHT), 1)

    def y(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return round(_HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM), 1)


def _grid(scale: _Scale) -> Iterator[Html]:
    for value in ticks(scale.low, scale.high):
        y = scale.y(value)
        yield el("line", x1=_LEFT, x2=_WIDTH - _RIGHT, y1=y, y2=y, cls="grid")
        yield el("text", format_number(value), x=_LEFT - 6, y=y + 4, text_anchor="end")
    ends = (scale.first,) if scale.first == scale.last else (scale.first, scale.last)
    for frame in ends:
        anchor = "middle" if len(ends) == 1 else "start" if frame == scale.first else "end"
        yield el("text", f"frame {frame}", x=scale.x(frame), y=_HEIGHT - 6, text_anchor=anchor)


def _cuts(scale: _Scale, cuts: Sequence[int]) -> Iterator[Html]:
    for frame in cuts[:_MAX_POINTS]:
        if scale.first < frame <= scale.last:
            x = scale.x(frame - 0.5)
            yield el("line", x1=x, x2=x, y1=_TOP, y2=_HEIGHT - _BOTTOM, cls="cut")


def _points(scale: _Scale, values: Sequence[tuple[int, float]]) -> str:
    """The points of a line; a single one becomes a short stroke, so that it is seen."""
    if len(values) == 1:
        x, y = scale.x(values[0][0]), scale.y(values[0][1])
        return f"{x - 4},{y} {x + 4},{y}"
    return " ".join(f"{scale.x(frame)},{scale.y(value)}" for frame, value in values)
