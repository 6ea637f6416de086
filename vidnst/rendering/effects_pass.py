"""Applies effects outside of the optimisation: filters to source frames, colours and filters to rendered frames.

Both are the same pass: a chain of effects (`media.effects.effect_chain`) is applied to the frames of each shot, the
results are kept in the run folder, and a pass that was killed resumes with the same bytes. Warm starts never read the
results, and the scheduler knows nothing of them.
"""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from numpy.typing import NDArray

from vidnst.config import ColourConfig, MotionConfig, RenderConfig
from vidnst.errors import CancelledError
from vidnst.events import Cancelled, OnEvent, Stage, Warned, ignore
from vidnst.frames import Pixels, Shot, SourceKind, from_float, spread_over, to_float
from vidnst.media.images import encode_png, read_image
from vidnst.media.input.frame_cache import FrameCache
from vidnst.motion.flow import estimate_pair
from vidnst.motion.warp import resize_flow
from vidnst.processes.parallel import local_cores
from vidnst.rendering.prepare import CheckedRequest
from vidnst.rendering.prepared_render import PreparedRender
from vidnst.rendering.source_frames import SourceFrames, report_repeated
from vidnst.rendering.styles.style_spec import StylePicture
from vidnst.runs import RunStore
from vidnst.runs.image_folder import ImageFolder

if TYPE_CHECKING:  # they bring scikit-image
    from vidnst.media.effects.colour_space import FloatImage
    from vidnst.media.effects.colour_transfer import ColourSample
    from vidnst.media.effects.effect_chain import EffectChain, EffectState, Motion

_MOST_THREADS = 4
_PALETTE_FRAMES = 8
"""Frames of a shot from which a palette is made."""
_PALETTE_PX = 640
"""Longest side of those frames."""
_COLOUR_FRAMES = 16
"""Frames of the range from which the source's colours are measured."""


def filter_source(
    checked: CheckedRequest,
    source: SourceFrames,
    store: RunStore,
    on_event: OnEvent = ignore,
    cancelled: Cancelled | None = None,
) -> SourceFrames:
    """Apply the filters that come before rendering, into the run folder; without any, return the source as it is.

    Raises:
        CancelledError: `cancelled` said so; the frames that are filtered are kept.
        BadFrameError: a frame does not decode, and is not to be repeated.
    """
    if not checked.config.filters.before:
        return source
    from vidnst.media.effects.effect_chain import source_chain

    folder = ImageFolder(store.folder, "before")
    bits: Literal[8, 16] = 16 if source.clip.bit_depth == 16 else 8
    chain = source_chain(checked.config)
    effects = _EffectsPass("filtering", source, folder, chain, bits, checked.config.motion)
    effects.run(on_event, cancelled)
    for index in sorted(effects.repeated):
        report_repeated(store, on_event, index)
    width, height = source.size
    clip = replace(
        source.clip,
        kind=SourceKind.PICTURES,
        paths=tuple(folder.path(index) for index in range(source.clip.frame_count)),
        width=width,
        height=height,
        bit_depth=bits,
    )
    return SourceFrames(clip, source.shots, source.size, on_bad_frame="error")


def finish_frames(render: PreparedRender, cancelled: Cancelled | None = None) -> None:
    """Apply the effects that follow rendering, into the run folder; without any, do nothing.

    Raises:
        CancelledError: `cancelled` said so; the frames that are finished are kept.
    """
    config, store = render.config, render.store
    if not config.finishes:
        return
    from vidnst.media.effects.effect_chain import finishing_chain

    if not config.stylizes and (config.photo.enabled or config.colour != ColourConfig()):
        render.recorder(Warned("colour and photo change nothing if optimize.iterations is 0: nothing is rendered"))
    folder, chain = ImageFolder(store.folder, "finished"), finishing_chain(config)
    effects = _EffectsPass(
        "finishing", render.source, folder, chain, config.output.picture_bits, config.motion, store.layout.frame
    )
    effects.run(render.recorder, cancelled)


def colour_styles(checked: CheckedRequest, source: SourceFrames, store: RunStore) -> tuple[StylePicture, ...]:
    """Return the style pictures in the source's colours, or grey like the source, as the settings say.

    The source's colours are measured once, on frames spread over the range, and kept in the plan.
    """
    colour = checked.config.colour
    if (colour.transfer == "none" and colour.keep != "matched") or not checked.styles:
        return checked.styles
    from vidnst.media.effects.colour_space import shrink_image
    from vidnst.media.effects.colour_transfer import sample_colours

    assert store.plan is not None
    if store.plan.colours is None:
        frames = [shrink_image(to_float(pixels), 256) for pixels in source.sample(_COLOUR_FRAMES)]
        store.update_plan(colours=sample_colours(frames, seed=checked.config.optimize.seed))
    recolour = recolouring(checked.config, store)
    assert recolour is not None
    return tuple(replace(style, pixels=recolour(style.pixels)) for style in checked.styles)


def recolouring(config: RenderConfig, store: RunStore) -> Callable[[Pixels], Pixels] | None:
    """Return what changes the colours of style pictures, once `colour_styles` has run; None if nothing does."""
    if store.plan is None or store.plan.colours is None:
        return None
    return partial(coloured, colours=store.plan.colours, config=config)


def coloured(pixels: Pixels, colours: "ColourSample", config: RenderConfig) -> Pixels:
    """Return a style picture in a clip's colours, with 16 bits per channel so that nothing is rounded twice."""
    from vidnst.media.effects.colour_transfer import match_luma, transfer_colours

    style, transfer = to_float(pixels), config.colour.transfer
    if config.colour.keep == "matched":
        return from_float(match_luma(style, colours), 16)
    return pixels if transfer == "none" else from_float(transfer_colours(style, colours, transfer), 16)


@dataclass
class _EffectsPass:
    """A chain of effects over all frames of a source."""

    stage: str
    source: SourceFrames
    folder: ImageFolder
    chain: "EffectChain"
    bits: Literal[8, 16]
    motion: MotionConfig
    rendered: Callable[[int], Path] | None = None
    """Path of the picture that a frame starts from; None takes the source's frame."""
    repeated: set[int] = field(default_factory=set)
    """Frames of the source that do not decode."""
    _reading: threading.Lock = field(default_factory=threading.Lock)
    _stop: threading.Event = field(default_factory=threading.Event)
    _counting: threading.Lock = field(default_factory=threading.Lock)
    _done: int = 0
    """Number of finished frames: a counter, since listing the folder of a long clip after each frame takes long."""
    _reported: int = 0
    _frames: FrameCache = field(init=False)

    @property
    def _total(self) -> int:
        return sum(map(len, self.source.shots))

    def run(self, on_event: OnEvent, cancelled: Cancelled | None) -> None:
        """Apply the chain to the frames that earlier sessions have not finished."""
        self._done = sum(self.folder.has(index) for shot in self.source.shots for index in shot.indices)
        if self._done == self._total:
            return
        on_event(Stage(self.stage, self._done, self._total))
        frames = self.source.open(on_repeated=self.repeated.add)
        with frames as self._frames, ThreadPoolExecutor(_threads()) as pool:
            try:
                self._drive(pool, partial(self._report, on_event), cancelled)
            except BaseException:
                self._stop.set()
                pool.shutdown(cancel_futures=True)
                raise
        on_event(Stage(self.stage, self._total, self._total))

    def _drive(self, pool: ThreadPoolExecutor, report: Callable[[], None], cancelled: Cancelled | None) -> None:
        """Have the pool work, a bounded number of pieces at a time, and report the progress."""
        pieces, running = self._pieces(), set[Future[object]]()
        while True:
            while len(running) < 2 * _threads() and (piece := next(pieces, None)):
                running.add(pool.submit(piece))
            if not running:
                return
            finished, running = wait(running, timeout=0.2, return_when=FIRST_COMPLETED)
            for future in finished:
                future.result()
            report()
            if cancelled is not None and cancelled():
                raise CancelledError(f"stopped while {self.stage}")

    def _report(self, on_event: OnEvent) -> None:
        done = self._done
        if done != self._reported:
            self._reported = done
            on_event(Stage(self.stage, done, self._total))

    def _pieces(self) -> Iterator[Callable[[], object]]:
        """Yield work that can run in parallel: whole shots if their frames depend on each other, else single frames."""
        for number, shot in enumerate(self.source.shots):
            missing = [index for index in shot.indices if not self.folder.has(index)]
            if not missing:
                continue
            chain = self._learned(number, shot)
            if chain.sequential:
                yield partial(self._shot, number, shot, chain)
            else:
                yield from (partial(self._one, chain, number, index, {}, None) for index in missing)

    def _learned(self, number: int, shot: Shot) -> "EffectChain":
        """Return the chain for a shot, with its palette made from the shot's frames."""
        from vidnst.media.effects.colour_space import shrink_image

        if not self.chain.needs_fit:
            return self.chain
        indices = spread_over(shot.start, shot.end, _PALETTE_FRAMES)
        pairs = ((self._picture(number, index), to_float(self._source(number, index))) for index in indices)
        return self.chain.fit([(shrink_image(one, _PALETTE_PX), shrink_image(two, _PALETTE_PX)) for one, two in pairs])

    def _shot(self, number: int, shot: Shot, chain: "EffectChain") -> None:
        """Apply the chain to the frames of a shot in order, from where an earlier session ended."""
        first, state = shot.start, dict[str, NDArray[Any]]()
        if saved := self.folder.read_state(number):
            last, saved_state = saved
            if shot.start <= last < shot.end and all(map(self.folder.has, range(shot.start, last + 1))):
                first, state = last + 1, saved_state
        for index in range(first, shot.end):
            if self._stop.is_set():
                return
            motion = self._motion(number, index) if index > shot.start else None
            state = dict(self._one(chain, number, index, state, motion))
            self.folder.write_state(number, index, state)

    def _one(
        self, chain: "EffectChain", number: int, index: int, before: "EffectState", motion: "Motion | None"
    ) -> "EffectState":
        """Apply the chain to one frame, and return the state that the next frame needs."""

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
        with self._reading:  # the cache is not thread-safe
            return self._frames.get(number, index)

    def _picture(self, number: int, index: int) -> "FloatImage":
        if self.rendered is None:
            return to_float(self._source(number, index))
        return to_float(read_image(self.rendered(index)))

    def _motion(self, number: int, index: int) -> "Motion":
        """Return the motion from the frame before; always by DIS, since only workers have RAFT's network."""
        from vidnst.media.effects.effect_chain import Motion

        now, before = self._source(number, index), self._source(number, index - 1)
        pair = estimate_pair(now, before, self.motion)
        vectors_px, valid = resize_flow(pair.forward, *now.shape[:2])
        return Motion(vectors_px, valid > 0.5)


def _threads() -> int:
    return max(1, min(_MOST_THREADS, local_cores()))
