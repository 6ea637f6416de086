"""What is done to pictures outside of the optimisation: source frames filtered first, rendered frames finished last.

Both are the same pass: a chain of steps (`finish.steps`) is applied to the frames of each shot, the results are kept in
the run folder, and a pass that was killed goes on to the same bytes. Nothing of it is ever read by a warm start of the
same frames, and the scheduler knows nothing of it.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from numpy.typing import NDArray

from vidnst.config import ColourConfig, RenderConfig
from vidnst.errors import CancelledError
from vidnst.events import Cancelled, OnEvent, Stage, Warned, ignore
from vidnst.frames import Pixels, Shot, SourceKind, from_float, spread_over, to_float
from vidnst.parallel import local_cores
from vidnst.rendering.prepare import Job
from vidnst.rendering.source_frames import open_frames, report_repeated, some_frames
from vidnst.runs import RunStore
from vidnst.runs.image_folder import PictureFolder

if TYPE_CHECKING:  # they bring OpenCV and scikit-image
    from vidnst.media.effects.colour_space import FloatImage
    from vidnst.media.effects.colour_transfer import ColourSample
    from vidnst.media.effects.effect_chain import EffectChain, EffectState, Motion
    from vidnst.media.input.frame_cache import FrameCache


_MOST_THREADS = 4
_LEARNT_FRAMES = 8
"""Frames of a shot that a palette is made from."""
_LEARNT_PX = 640
"""Their longest side."""
_COLOUR_FRAMES = 16
"""Frames of the range that its colours are taken from."""


def filter_input(
    job: Job, store: RunStore, shots: Sequence[Shot], on_event: OnEvent = ignore, cancelled: Cancelled | None = None
) -> Job:
    """The job with its source frames filtered, in the run folder's `before`; as it is where no filter comes before.

    Raises:
        CancelledError: `cancelled` said so; what is filtered is kept.
        BadFrameError: a frame does not decode, and is not to be repeated.
    """
    if not job.config.filters.before:
        return job
    from vidnst.media.effects.effect_chain import source_chain

    folder = PictureFolder(store.folder, "before")
    bits: Literal[8, 16] = 16 if job.clip.bit_depth == 16 else 8
    work = _Pass("filtering", job, shots, folder, source_chain(job.config), bits)
    work.run(on_event, cancelled)
    for index in sorted(work.repeated):
        report_repeated(store, on_event, index)
    paths = tuple(folder.path(index) for index in range(job.clip.frame_count))
    filtered = replace(job.clip, kind=SourceKind.PICTURES, paths=paths, width=job.width, height=job.height)
    return replace(job, filtered=replace(filtered, bit_depth=bits))


def finish_frames(
    job: Job, store: RunStore, shots: Sequence[Shot], on_event: OnEvent = ignore, cancelled: Cancelled | None = None
) -> None:
    """Make the final pictures, in the run folder's `finished`; nothing where the rendered frames are final.

    Raises:
        CancelledError: `cancelled` said so; what is finished is kept.
    """
    if not job.config.finishes:
        return
    from vidnst.media.effects.effect_chain import finishing_chain

    folder = PictureFolder(store.folder, "finished")
    config = job.config
    if job.passes_through and (config.photo.enabled or config.colour != ColourConfig()):
        on_event(Warned("colour and photo change nothing where optimize.iterations is 0: nothing is rendered"))
    chain = finishing_chain(config)
    _Pass("finishing", job, shots, folder, chain, config.output.bits, store.layout.frame).run(on_event, cancelled)


def final_frames(job: Job, store: RunStore) -> list[Path]:
    """The pictures of a job that are packed and measured, in order."""
    return [store.layout.final_frame(index, job.config) for index in range(job.start, job.end)]


def colour_styles(job: Job, store: RunStore, shots: Sequence[Shot]) -> Job:
    """The job with its style pictures in the source's colours, or grey as the source is, where that is asked for.

    The source's colours are taken once, from frames all over the range, and kept in the plan.
    """
    wanted = job.config.colour
    if (wanted.transfer == "none" and wanted.keep != "matched") or not job.styles:
        return job
    from vidnst.media.effects.colour_space import shrink_image
    from vidnst.media.effects.colour_transfer import sample_colours

    if store.plan is None or store.plan.colours is None:
        frames = [shrink_image(to_float(pixels), 256) for pixels in some_frames(job, shots, _COLOUR_FRAMES)]
        store.update_plan(colours=sample_colours(frames, seed=job.config.optimize.seed))
    recolour = colourist(job.config, store)
    assert recolour is not None
    return replace(job, styles=tuple(replace(style, pixels=recolour(style.pixels)) for style in job.styles))


def colourist(config: RenderConfig, store: RunStore) -> Callable[[Pixels], Pixels] | None:
    """What is done to the colours of style pictures, once `colour_styles` has looked at the source; None is nothing."""
    if store.plan is None or store.plan.colours is None:
        return None
    return partial(coloured, colours=store.plan.colours, config=config)


def coloured(pixels: Pixels, colours: "ColourSample", config: RenderConfig) -> Pixels:
    """A style picture as it is for a clip of these colours: 16 bits per channel, so that nothing is rounded twice."""
    from vidnst.media.effects.colour_transfer import match_luma, transfer_colours

    style, transfer = to_float(pixels), config.colour.transfer
    if config.colour.keep == "matched":
        return from_float(match_luma(style, colours), 16)
    return pixels if transfer == "none" else from_float(transfer_colours(style, colours, transfer), 16)


@dataclass
class _Pass:
    """A chain over all frames of a job."""

    stage: str
    job: Job
    shots: Sequence[Shot]
    folder: PictureFolder
    chain: "EffectChain"
    bits: Literal[8, 16]
    rendered: Callable[[int], Path] | None = None
    """Where a picture is read from; None takes the source's frame itself."""
    repeated: set[int] = field(default_factory=set)
    """Frames of the source that do not decode."""
    _reading: threading.Lock = field(default_factory=threading.Lock)
    _stop: threading.Event = field(default_factory=threading.Event)
    _counting: threading.Lock = field(default_factory=threading.Lock)
    _done: int = 0
    """Frames that are there: kept count of, since looking through a long clip after each of its frames takes long."""
    _told: int = 0
    _frames: "FrameCache" = field(init=False)

    def run(self, on_event: OnEvent, cancelled: Cancelled | None) -> None:
        total = self.job.end - self.job.start
        self._done = sum(self.folder.has(index) for index in range(self.job.start, self.job.end))
        if self._done == total:
            return
        on_event(Stage(self.stage, self._done, total))
        frames = open_frames(self.job, self.shots, on_repeated=self.repeated.add)
        with frames as self._frames, ThreadPoolExecutor(_threads()) as pool:
            try:
                self._drive(pool, partial(self._tell, on_event), cancelled)
            except BaseException:
                self._stop.set()
                pool.shutdown(cancel_futures=True)
                raise
        on_event(Stage(self.stage, total, total))

    def _drive(self, pool: ThreadPoolExecutor, tell: Callable[[], None], cancelled: Cancelled | None) -> None:
        """Have the pool work, a bounded number of pieces at a time, and tell how far it is."""
        pieces, running = self._pieces(), set[Future[object]]()
        while True:
            while len(running) < 2 * _threads() and (piece := next(pieces, None)):
                running.add(pool.submit(piece))
            if not running:
                return
            finished, running = wait(running, timeout=0.2, return_when=FIRST_COMPLETED)
            for future in finished:
                future.result()
            tell()
            if cancelled is not None and cancelled():
                raise CancelledError(f"stopped while {self.stage}")

    def _tell(self, on_event: OnEvent) -> None:
        done = self._done
        if done != self._told:
            self._told = done
            on_event(Stage(self.stage, done, self.job.end - self.job.start))

    def _pieces(self) -> Iterator[Callable[[], object]]:
        """Work that can be done side by side: shots whose frames need each other, else single frames."""
        for number, shot in enumerate(self.shots):
            missing = [index for index in range(shot.start, shot.end) if not self.folder.has(index)]
            if not missing:
                continue
            chain = self._learned(number, shot)
            if chain.sequential:
                yield partial(self._shot, number, shot, chain)
            else:
                yield from (partial(self._one, chain, number, index, {}, None) for index in missing)

    def _learned(self, number: int, shot: Shot) -> "EffectChain":
        """The chain for a shot."""
        from vidnst.media.effects.colour_space import shrink_image

        if not self.chain.needs_fit:
            return self.chain
        indices = spread_over(shot.start, shot.end, _LEARNT_FRAMES)
        pairs = ((self._picture(number, index), to_float(self._source(number, index))) for index in indices)
        return self.chain.fit([(shrink_image(one, _LEARNT_PX), shrink_image(two, _LEARNT_PX)) for one, two in pairs])

    def _shot(self, number: int, shot: Shot, chain: "EffectChain") -> None:
        """All frames of a shot, from where an earlier pass was ended."""
        first, state = shot.start, dict[str, NDArray[Any]]()
        if kept := self.folder.read_state(number):
            last, left = kept
            if shot.start <= last < shot.end and all(map(self.folder.has, range(shot.start, last + 1))):
                first, state = last + 1, left
        for index in range(first, shot.end):
            if self._stop.is_set():
                return
            motion = self._motion(number, index) if index > shot.start else None
            state = dict(self._one(chain, number, index, state, motion))
            self.folder.write_state(number, index, state)

    def _one(
        self, chain: "EffectChain", number: int, index: int, before: "EffectState", motion: "Motion | None"
    ) -> "EffectState":
        """One frame; what it leaves."""
        from vidnst.media.images import encode_png

        source = to_float(self._source(number, index))
        picture = source if self.rendered is None else self._picture(number, index)
        picture, state = chain(picture, source, before, motion)
        data = encode_png(from_float(picture, self.bits), bits=self.bits)
        again = self.folder.has(index)
        self.folder.write(index, lambda path: path.write_bytes(data))
        with self._counting:
            self._done += not again
        return state

    def _source(self, number: int, index: int) -> Pixels:
        with self._reading:  # the cache is not to be shared by threads
            return self._frames.get(number, index)

    def _picture(self, number: int, index: int) -> "FloatImage":
        from vidnst.media.images import read_image

        if self.rendered is None:
            return to_float(self._source(number, index))
        return to_float(read_image(self.rendered(index)))

    def _motion(self, number: int, index: int) -> "Motion":
        """From the frame before: by DIS whatever the render uses, since a worker's network is not at hand here."""
        from vidnst.media.effects.effect_chain import Motion
        from vidnst.motion.flow import estimate_pair
        from vidnst.motion.warp import enlarge

        now, before, motion = self._source(number, index), self._source(number, index - 1), self.job.config.motion
        pair = estimate_pair(
            now,
            before,
            preset=motion.preset,
            size=motion.size,
            consistency=motion.consistency,
            slack_px=motion.slack_px,
        )
        vectors_px, valid = enlarge(pair.forward, *now.shape[:2])
        return Motion(vectors_px, valid > 0.5)


def _threads() -> int:
    return max(1, min(_MOST_THREADS, local_cores()))
