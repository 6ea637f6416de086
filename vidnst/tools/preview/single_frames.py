"""Single frames of a source, chosen and read as a render of it would see them."""

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vidnst.config import RenderConfig, Role
from vidnst.errors import ConfigError, RangeError
from vidnst.events import OnEvent, Stage, ignore
from vidnst.farm.jobs import Stylized, StylizeJob
from vidnst.farm.plan import StateId
from vidnst.frames import ClipInfo, Pixels, Shot
from vidnst.rendering.node_jobs import node_seed
from vidnst.rendering.styles.style_spec import StylePicture
from vidnst.style.guidance import Guidance

if TYPE_CHECKING:  # it brings torch
    from vidnst.style.stylizer import OnStep


@dataclass(frozen=True, slots=True)
class StillSource:
    """The part of a source that a configuration names."""

    clip: ClipInfo
    start: int
    """First frame, an index of the whole source."""
    end: int
    """Frame after the last."""
    config: RenderConfig
    on_event: OnEvent = ignore

    def shots(self) -> list[Shot]:
        """Its shots, found as for a render.

        Raises:
            RangeError: a given cut is outside the clip.
        """
        from vidnst.media.input.shots import find_shots

        self.on_event(Stage("shots", 0, self.end - self.start))
        return find_shots(self.clip, start=self.start, end=self.end, method=self.config.input.shots)

    def spread(self, count: int) -> list[int]:
        """At most so many frames, evenly spread: over each shot, where there are no more shots than frames."""
        count = min(count, self.end - self.start)
        shots = self.shots() if count > 1 else []
        if not 1 < len(shots) <= count:
            return _even(self.start, self.end, count)
        return sorted(
            index
            for shot, part in zip(shots, _parts(shots, count), strict=True)
            for index in _even(shot.start, shot.end, part)
        )

    def named(self, texts: Sequence[str | int]) -> list[int]:
        """The frames that texts like `20` or `1.5s` mean, each once and in order.

        Raises:
            ConfigError: a text says no place.
            RangeError: a place outside the range.
        """
        from vidnst.config.timecode import parse_position

        found = {parse_position(str(text), self.clip): text for text in texts}
        for index, text in found.items():
            if not self.start <= index < self.end:
                limits = f"it has frames {self.start} to {self.end - 1}"
                raise RangeError(f"frame {text} is outside the range of {self.clip.source}", limits)
        return sorted(found)

    def read(self, indices: Sequence[int], *, size: int | None) -> dict[int, Pixels]:
        """Frames as a render at that size would see them: evened out and registered where that is asked for.

        Args:
            indices: of the whole source, inside the range.
            size: longest side in pixels; None keeps the source's.

        Raises:
            BadFrameError: one does not decode.
            SourceError: registered frames have too little in common.
        """
        from vidnst.media.adjust.adjustments import Adjuster, find_adjustments
        from vidnst.media.input.frame_cache import FrameCache
        from vidnst.media.input.frame_reader import fit_size

        settings, adjuster = self.config.input, None
        shots, pixels = [Shot(self.start, self.end)], fit_size(self.clip.width, self.clip.height, size)
        if settings.adjusts:
            shots = self.shots()
            found = find_adjustments(self.clip, shots, settings)
            pixels = found.size(self.clip, size)
            adjuster = Adjuster(found, self.clip, pixels)
        policy = settings.on_bad_frame
        with closing(
            FrameCache(self.clip, shots, size=pixels, on_bad_frame=policy, adjuster=adjuster, frames=1)
        ) as cache:
            return {index: cache.get(shot_of(shots, index), index) for index in sorted(indices)}


def open_footage(
    source: str | Path | Sequence[str | Path], config: RenderConfig, *, on_event: OnEvent = ignore
) -> StillSource:
    """Look at a source.

    Raises:
        SourceError, RangeError: it cannot be read, or the configuration's range is outside it.
        ConfigError: a position in no known way.
    """
    from vidnst.media.input.frame_reader import frame_range
    from vidnst.media.input.probe import probe

    on_event(Stage("probing"))
    clip = probe(source, fps=config.input.fps)
    start, end = frame_range(clip, config.input.start, config.input.end)
    return StillSource(clip, start, end, config, on_event)


def cold_job(index: int, pixels: Pixels, config: RenderConfig, *, guidance: Guidance | None = None) -> StylizeJob:
    """The job of a frame that starts cold: what a render does with the first frame of a shot.

    Raises:
        ConfigError: nothing is to be done.
    """
    node, iterations = StateId(index), config.evaluations(Role.COLD)
    if iterations == 0:
        raise ConfigError("optimize.iterations = 0: there is nothing to see", "give at least 1")
    seed = node_seed(config.optimize.seed, node)
    return StylizeJob(node, pixels, (), iterations=iterations, seed=seed, guidance=guidance)


def paint_cold(
    job: StylizeJob,
    config: RenderConfig,
    features: Mapping[str, NDArray[np.float32]],
    styles: Sequence[StylePicture],
    threads: int | None,
    on_step: "OnStep | None" = None,
    *,
    every_step: bool = False,
) -> Stylized:
    """Paint a frame as a worker of a render would; torch's threads are set for the calling thread.

    Args:
        job: as `cold_job` gives it.
        features: the network's filters.
        threads: of torch on a CPU; None leaves them as they are.
        on_step, every_step: see `Stylizer.stylize`.

    Raises:
        ConfigError: the picture is too small for the layers.
        NumericalError: NaN or infinity on the way.
    """
    from vidnst.farm.workers import StyleWorkerFactory

    pictures = [(style.pixels, style.weight) for style in styles]
    worker = StyleWorkerFactory(config, features, pictures, threads)()
    return worker.run(job, on_step=on_step, every_step=every_step)


def _even(start: int, end: int, count: int) -> list[int]:
    """So many frames in the middles of equal parts."""
    return [start + (2 * number + 1) * (end - start) // (2 * count) for number in range(count)]


def _parts(shots: Sequence[Shot], count: int) -> list[int]:
    """Frames for each shot: at least one, the others where they lie furthest apart."""
    parts = [1] * len(shots)
    for _ in range(count - len(shots)):
        number = max(range(len(shots)), key=lambda shot: (len(shots[shot]) / (parts[shot] + 1), -shot))
        parts[number] += 1
    return parts


def shot_of(shots: Sequence[Shot], index: int) -> int:
    """The number of the shot that a frame lies in."""
    return next(number for number, shot in enumerate(shots) if shot.start <= index < shot.end)
