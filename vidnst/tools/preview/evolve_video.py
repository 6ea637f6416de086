"""The film of an optimisation: which steps it shows, and what a frame of it looks like."""

import math
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vidnst.errors import ConfigError
from vidnst.frames import Pixels
from vidnst.tools.preview.evolve_recorder import RecordedStep, Recorder
from vidnst.tools.preview.video_writer import VideoWriter

if TYPE_CHECKING:  # they bring OpenCV
    from vidnst.media.draw.loss_chart import LossChart
    from vidnst.media.draw.text import ImageBuffer

_USUAL_FRAMES = 150
"""Of a film whose steps lie in equal ratios, at most."""
_MOST_FRAMES = 3000
_HOLD_SECONDS = 1
"""How long the finished picture stays."""
_CHART_PX = (480, 240)
"""Narrowest and lowest chart."""
_TALL = 0.7
"""Pictures of such proportions, height to width, or taller have the chart beside them."""
_GAP_PX = 8
# After M. Okabe and K. Ito: told apart by everyone, whatever colours they see.
_COLOURS = {"total": (0, 0, 0), "style": (213, 94, 0), "content": (0, 114, 178), "tv": (0, 158, 115)}


def film_steps(limit: int, every: int | None) -> tuple[int, ...]:
    """The evaluations that a film of so many shows: the first, the last, and some between.

    Args:
        every: from one to the next; None takes equal ratios.

    Raises:
        ConfigError: less than 1, or too many for a film.
    """
    if every is None:
        return tuple(sorted({round(float(step)) for step in np.geomspace(1, limit, _USUAL_FRAMES)}))
    if every < 1:
        raise ConfigError(f"--every {every} is not above 0", "give 1 or more")
    steps = tuple(sorted({1, *range(every, limit + 1, every), limit}))
    if len(steps) > _MOST_FRAMES:
        raise ConfigError(f"--every {every} of {limit} evaluations are {len(steps)} frames", "give a larger number")
    return steps


class Canvas:
    """A frame of the film: the picture, and the chart beside it or below, whichever fits better.

    Args:
        width, height: of the picture in pixels.
        curve: whether there is a chart at all.
    """

    def __init__(self, width: int, height: int, *, curve: bool) -> None:
        beside = height > _TALL * width
        across, down = (
            max(_CHART_PX[0], width * 3 // 4 if beside else width),
            max(_CHART_PX[1], height if beside else height // 2),
        )
        self.chart_size = (across, down) if curve else (0, 0)
        gap = _GAP_PX if curve else 0
        wide = width + gap + self.chart_size[0] if beside else max(width, self.chart_size[0])
        tall = max(height, self.chart_size[1]) if beside else height + gap + self.chart_size[1]
        self.size = (wide + wide % 2, tall + tall % 2)
        """Width and height in pixels, even."""
        self.picture_at = (0, (tall - height) // 2) if beside else ((wide - width) // 2, 0)
        """x and y of the picture's upper left corner."""
        self._chart_at = (width + gap, (tall - down) // 2) if beside else ((wide - across) // 2, height + gap)

    def frame(self, picture: Pixels, chart: "ImageBuffer | None") -> "ImageBuffer":
        """One frame, `(size[1], size[0], 3)` uint8 RGB."""
        from vidnst.frames import to_bits

        paper = np.full((self.size[1], self.size[0], 3), 255, np.uint8)
        for part, (x, y) in ((to_bits(picture, 8), self.picture_at), (chart, self._chart_at)):
            if part is not None:
                paper[y : y + part.shape[0], x : x + part.shape[1]] = part
        return paper


def write_film(
    output: Path, steps: Sequence[int], recorder: Recorder, canvas: Canvas, *, log_steps: bool, rate: Fraction
) -> None:
    """Write the film of an optimisation that is over.

    Args:
        output: a video, an animation or a folder of frames.
        steps: evaluations that are shown, as far as they were reached; the last that was is shown in any case.
        recorder: has the pictures of them, and hears of what happens.
        canvas: the frames that are drawn.
        log_steps: whether the chart's evaluations lie in equal ratios.
        rate: frames per second.

    Raises:
        OutputError, EncoderError: the film cannot be written.
        CancelledError: the recorder was told so.
    """
    last = recorder.steps[-1].evaluation
    shown = sorted({step for step in steps if step < last} | {last})
    chart = _chart(recorder.steps, canvas.chart_size, log_steps=log_steps) if canvas.chart_size[0] else None
    with VideoWriter(output, recorder.config.output) as film:
        for step in shown:
            times = max(1, math.ceil(_HOLD_SECONDS * rate)) if step == last else 1
            film.add(canvas.frame(recorder.read(step), chart.draw_until(step) if chart else None), times=times)
        film.encode(rate=rate, on_event=recorder.on_event, cancelled=recorder.cancelled)


def _chart(steps: Sequence[RecordedStep], size: tuple[int, int], *, log_steps: bool) -> "LossChart":
    from vidnst.media.draw.loss_chart import LossChart, LossCurve

    curves = [LossCurve(name, colour, [step.losses[name] for step in steps]) for name, colour in _COLOURS.items()]
    marks = [after.evaluation for before, after in pairwise(steps) if after.height != before.height]
    return LossChart([step.evaluation for step in steps], curves, size=size, log_steps=log_steps, marks=marks)
