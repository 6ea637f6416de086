"""The workers that stylize frames: plain classes that tests can call. Imports no Ray."""

import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from vidnst.config import RenderConfig
from vidnst.devices.gpus import check_cards, find_cards
from vidnst.errors import FarmError, ScarceMemoryError
from vidnst.farm.device_turn import DeviceTurn
from vidnst.farm.frame_check import is_stale, quality_problem_of, retry_seed
from vidnst.farm.frame_transfer import FrameTransfer, LeavingPicture, PreparedFrame
from vidnst.farm.jobs import PaintJob, Shared, Stylized, StylizeJob, Trained, TrainJob
from vidnst.farm.memory_fallback import (
    MemoryLadder,
    available_memory,
    free_caches,
    is_out_of_memory,
    limit_memory,
    too_large_error,
    try_modes,
)
from vidnst.farm.network_work import PaintingNetworks, paint_in_memory, train_stage
from vidnst.frames import Pixels, to_16_bits
from vidnst.motion.blend import BlendedStart
from vidnst.motion.opencv_threads import set_opencv_threads
from vidnst.motion.quality_gate import thumbnail_luma
from vidnst.style.guidance import blend_unstyled
from vidnst.style.memory.modes import MemoryMode
from vidnst.style.minimize import OnStep, StylizeResult
from vidnst.style.network.precision import resolve_precision
from vidnst.style.stylizer import Stylizer

_Result = TypeVar("_Result")

_READY_FRAMES = 3
"""Frames that may be on the device at once, whose memory they take: one is painted, the others are on their way."""


@dataclass(frozen=True)
class StyleWorkerFactory:
    """Makes a stylizing worker in its process; carries everything it needs, so that no file is read there."""

    config: RenderConfig
    features: Mapping[str, NDArray[np.float32]] | Shared | None
    """Weights of the network by name; None if no frame is optimised."""
    styles: Sequence[tuple[Pixels, float]]
    """Style images with their weights."""
    threads: int | None = None
    """Threads of torch and OpenCV on a CPU; None does not set them."""

    def __call__(self) -> "StyleWorker":
        device = torch.device("cpu") if self.features is None else pick_device(self.config.farm.device)
        if self.threads is not None and device.type == "cpu":
            use_threads(self.threads)
        if self.features is None:
            return StyleWorker(None, device, MemoryLadder(self.config, None))
        bfloat16 = resolve_precision(self.config, device) != self.config
        ladder = MemoryLadder(self.config, limit_memory(self.config, device), bfloat16)
        features = self.features.get() if isinstance(self.features, Shared) else self.features
        stylizer = Stylizer(features, self.styles, self.config, device=device)
        return StyleWorker(stylizer, device, ladder)


def use_threads(count: int) -> None:
    """Set the threads of torch and OpenCV in this process."""
    torch.set_num_threads(count)
    set_opencv_threads(count)


@contextmanager
def threads_on_cpu(count: int, device: torch.device) -> Iterator[None]:
    """Compute with another number of threads inside the block, if on a CPU."""
    before = torch.get_num_threads()
    if device.type == "cpu":
        torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def pick_device(wanted: str, *, setting: str = "farm.device") -> torch.device:
    """Return the device for a setting: `cpu`, `cuda`, or `auto` for a GPU if there is one.

    Args:
        setting: what the user calls it.

    Raises:
        FarmError: it is cuda and there is no GPU, or a GPU that would be used cannot be.
    """
    cards = [] if wanted == "cpu" else check_cards()
    if wanted == "cuda" and not cards:
        raise FarmError(f"{setting} is cuda, but torch sees no GPU", f"run `vidnst doctor`, or set {setting} to cpu")
    return torch.device("cuda" if cards else "cpu")


def gpu_memory_sizes() -> list[int]:
    """Return the bytes of memory of each GPU that torch sees."""
    return [card.memory_bytes for card in find_cards() if card.memory_bytes is not None]


class StyleWorker:
    """Holds a network on one device and stylizes one frame at a time.

    Several threads may call `run`: one optimises while the others blend, upload, download or check their frames.

    Args:
        stylizer: None if no frame is optimised.
        ladder: the memory modes to fall back to.
    """

    def __init__(self, stylizer: Stylizer | None, device: torch.device, ladder: MemoryLadder) -> None:
        self._stylizer = stylizer
        self._device = device
        self._ladder = ladder
        self._transfer = FrameTransfer(device, ladder.config.motion)
        self._turn = DeviceTurn()
        self._ready_frames = threading.BoundedSemaphore(_READY_FRAMES)
        self._networks = PaintingNetworks(device)

    def run(self, job: StylizeJob | TrainJob | PaintJob) -> Stylized | Trained:
        """Stylize a frame, do a stage of a training, or paint a frame with a network.

        Raises:
            NumericalError: the optimisation or the training gave NaN or infinity.
            ScarceMemoryError: the frame does not fit into memory in any mode.
        """
        if isinstance(job, StylizeJob):
            return self.stylize(job)
        assert self._stylizer is not None
        stylizer, height, width = (
            self._stylizer,
            *(job.content if isinstance(job, PaintJob) else job.frames[0]).shape[:2],
        )
        if isinstance(job, PaintJob):
            with self._turn.held(self._turn.place()) as stopwatch:
                painted = paint_in_memory(stylizer, job, self._networks)
            return replace(painted, device_seconds=stopwatch.seconds)
        training = self._ladder.config.schedule.training
        with threads_on_cpu(job.threads, self._device):
            return self._with_memory(
                lambda mode: train_stage(stylizer, job, training, mode),
                job.memory_mode,
                self._turn.place(),
                width=min(width, training.crop),
                height=min(height, training.crop),
            ).result

    def stylize(self, job: StylizeJob, *, on_step: OnStep | None = None, every_step: bool = False) -> Stylized:
        """Stylize a frame; if the result has a quality problem, once more with another seed, and cold if it is stale.

        Args:
            on_step, every_step: see `Stylizer.stylize`.

        Raises:
            NumericalError: the optimisation gave NaN or infinity.
            ScarceMemoryError: the frame does not fit into memory in any mode.
        """
        began = time.perf_counter()
        if job.iterations == 0 or self._stylizer is None:
            return Stylized(to_16_bits(job.content), {}, 0, time.perf_counter() - began, memory_mode=job.memory_mode)
        place = self._turn.place()
        watching = _Watching(on_step, every_step)
        result = self._stylize(self._stylizer, job, place, watching)
        if problem := quality_problem_of(job, result):
            shortage, painting = result.shortage, result.device_seconds or 0.0
            again = replace(job, seed=retry_seed(job.seed), memory_mode=result.memory_mode)
            if is_stale(result):
                again = replace(again, starts=())
            result = self._stylize(self._stylizer, again, place, watching)
            suspect = quality_problem_of(job, result)
            repaired = "" if suspect else problem
            painting += result.device_seconds or 0.0
            shortage = shortage or result.shortage
            result = replace(result, suspect=suspect, repaired=repaired, shortage=shortage, device_seconds=painting)
        return replace(result, seconds=time.perf_counter() - began)

    def _stylize(self, stylizer: Stylizer, job: StylizeJob, place: int, watching: "_Watching") -> Stylized:
        """Optimise the frame in the first memory mode that suffices, beginning with the job's."""
        height, width = job.content.shape[:2]
        blended = self._transfer.blend(job)

        def paint(memory_mode: MemoryMode) -> _Painted:
            frame = prepared or self._transfer.prepare(job, blended)
            return self._paint(stylizer, job, frame, memory_mode, watching)

        with self._ready_frames:
            prepared = self._prepared(job, blended)
            turn = self._with_memory(paint, job.memory_mode, place, width=width, height=height)
        painted, leaving = turn.result.found, turn.result.leaving
        state = self._transfer.fetch(leaving)
        shown = None if job.guidance is None else blend_unstyled(state, job.content, job.guidance)
        if job.given is not None:
            state, shown = job.given.over(state), None if shown is None else job.given.over(shown)
        return Stylized(
            state,
            painted.losses,
            painted.evaluations,
            0.0,
            shown=shown,
            staleness=painted.staleness,
            memory_mode=turn.memory_mode,
            shortage=turn.shortage,
            thumbnail_luma=None if job.source_thumbnails is None else thumbnail_luma(state),
            device_seconds=turn.seconds,
        )

    def _prepared(self, job: StylizeJob, blended: BlendedStart | None) -> PreparedFrame | None:
        """What the frame is painted from, made while others are painted; None if memory does not suffice for that."""
        try:
            return self._transfer.prepare(job, blended)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            traceback.clear_frames(error.__traceback__)
        return None

    def _paint(
        self,
        stylizer: Stylizer,
        job: StylizeJob,
        frame: PreparedFrame,
        memory_mode: MemoryMode,
        watching: "_Watching",
    ) -> "_Painted":
        frame = self._transfer.receive(frame)
        found = stylizer.stylize(
            frame.content,
            start=frame.start,
            iterations=job.iterations,
            seed=job.seed,
            step_scale=job.step_scale,
            on_step=watching.on_step,
            every_step=watching.every_step,
            guidance=job.guidance,
            memory_mode=memory_mode,
        )
        return _Painted(found, self._transfer.release(found.image))

    def _with_memory(
        self, work: Callable[[MemoryMode], _Result], wanted: MemoryMode, place: int, *, width: int, height: int
    ) -> "_Turn[_Result]":
        """Do work in the first memory mode that suffices, in the turn of a place at the device."""
        modes, estimate = self._ladder.modes_from(wanted, width=width, height=height)
        try:
            with self._turn.held(place) as stopwatch:
                result, memory_mode, failure = try_modes(work, modes, free=lambda: free_caches(self._device))
        except ScarceMemoryError as error:
            available = available_memory(self._ladder.limit, self._device)
            raise too_large_error(
                self._ladder.config, modes[-1], available, error.what, width=width, height=height
            ) from None
        shortage = (failure or estimate) if memory_mode != wanted else ""
        return _Turn(result, memory_mode, shortage, stopwatch.seconds)


@dataclass(frozen=True, slots=True)
class _Watching:
    """Who hears of a painting's progress; see `Stylizer.stylize`."""

    on_step: OnStep | None
    every_step: bool


@dataclass(frozen=True, slots=True)
class _Painted:
    """A painted frame whose pixels are still on the device."""

    found: StylizeResult
    leaving: LeavingPicture


@dataclass(frozen=True, slots=True)
class _Turn(Generic[_Result]):
    """The result of a turn at the device."""

    result: _Result
    memory_mode: MemoryMode
    shortage: str
    """Why the memory mode is not the one that was wanted; empty if it is."""
    seconds: float
