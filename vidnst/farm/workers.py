"""The workers that stylize frames and estimate flows: plain classes that tests can call. Imports no Ray."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vidnst.config import MotionConfig, RenderConfig
from vidnst.errors import FarmError, ScarceMemoryError
from vidnst.farm.flow_fallback import estimate_in_memory
from vidnst.farm.jobs import FlowJob, PaintJob, Shared, Stylized, StylizeJob, Trained, TrainJob
from vidnst.farm.memory_fallback import (
    MemoryLadder,
    available_memory,
    free_caches,
    limit_memory,
    too_large_error,
    try_modes,
)
from vidnst.farm.network_work import PaintingNetworks, paint_in_memory, train_stage
from vidnst.frames import Pixels, to_16_bits, to_float_planes
from vidnst.gpus import check_cards, find_cards
from vidnst.motion.blend import blend
from vidnst.motion.flow import FlowPair, compose_pairs, estimate_pair
from vidnst.motion.gpu.blend import blend_on_device
from vidnst.motion.gpu.upload import upload
from vidnst.motion.opencv_threads import set_opencv_threads
from vidnst.motion.quality_gate import Neighbour, quality_problem, thumbnail_luma
from vidnst.motion.raft import Raft, build_raft
from vidnst.style.guidance import blend_unstyled
from vidnst.style.losses.objective import WarmStart
from vidnst.style.memory.modes import MemoryMode
from vidnst.style.minimize import OnStep
from vidnst.style.network.precision import resolve_precision
from vidnst.style.stylizer import Stylizer
from vidnst.style.tensors import from_pixels, to_state

_Result = TypeVar("_Result")

_MAX_STALENESS = 1.5
"""Staleness from which a frame is painted once more. Key frames of time-lapses reach 1.1."""


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
            _use_threads(self.threads)
        if self.features is None:
            return StyleWorker(None, device, MemoryLadder(self.config, None))
        bfloat16 = resolve_precision(self.config, device) != self.config
        ladder = MemoryLadder(self.config, limit_memory(self.config, device), bfloat16)
        features = self.features.get() if isinstance(self.features, Shared) else self.features
        stylizer = Stylizer(features, self.styles, self.config, device=device)
        return StyleWorker(stylizer, device, ladder)


def _use_threads(count: int) -> None:
    torch.set_num_threads(count)
    set_opencv_threads(count)


@contextmanager
def _threads_on_cpu(count: int, device: torch.device) -> Iterator[None]:
    """Compute with another number of threads inside the block, if on a CPU."""
    before = torch.get_num_threads()
    if device.type == "cpu":
        torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def pick_device(wanted: str) -> torch.device:
    """Return the device for a setting of `farm.device`.

    Raises:
        FarmError: it is cuda and there is no GPU, or a GPU that would be used cannot be.
    """
    cards = [] if wanted == "cpu" else check_cards()
    if wanted == "cuda" and not cards:
        raise FarmError("farm.device is cuda, but torch sees no GPU", "run `vidnst doctor`, or set farm.device=cpu")
    return torch.device("cuda" if cards else "cpu")


def gpu_memory_sizes() -> list[int]:
    """Return the bytes of memory of each GPU that torch sees."""
    return [card.memory_bytes for card in find_cards() if card.memory_bytes is not None]


class StyleWorker:
    """Holds a network on one device and stylizes one frame at a time.

    Several threads may call `run`: one optimises while the others upload or check their frames.

    Args:
        stylizer: None if no frame is optimised.
        ladder: the memory modes to fall back to.
    """

    def __init__(self, stylizer: Stylizer | None, device: torch.device, ladder: MemoryLadder) -> None:
        self._stylizer = stylizer
        self._device = device
        self._ladder = ladder
        self._motion = ladder.config.motion
        self._networks = PaintingNetworks(device)
        self._device_lock = threading.Lock()

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
            with self._device_lock:
                return paint_in_memory(stylizer, job, self._networks)
        training = self._ladder.config.schedule.training
        with _threads_on_cpu(job.threads, self._device):
            return self._with_memory(
                lambda mode: train_stage(stylizer, job, training, mode),
                job.memory_mode,
                width=min(width, training.crop),
                height=min(height, training.crop),
            )[0]

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
        result = self._stylize(self._stylizer, job, on_step=on_step, every_step=every_step)
        if problem := quality_problem_of(job, result):
            shortage = result.shortage
            again = replace(job, seed=_retry_seed(job.seed), memory_mode=result.memory_mode)
            if is_stale(result):
                again = replace(again, starts=())
            result = self._stylize(self._stylizer, again, on_step=on_step, every_step=every_step)
            suspect = quality_problem_of(job, result)
            repaired = "" if suspect else problem
            result = replace(result, suspect=suspect, repaired=repaired, shortage=shortage or result.shortage)
        return replace(result, seconds=time.perf_counter() - began)

    def _stylize(self, stylizer: Stylizer, job: StylizeJob, *, on_step: OnStep | None, every_step: bool) -> Stylized:
        """Optimise the frame in the first memory mode that suffices, beginning with the job's."""
        height, width = job.content.shape[:2]

        def paint(memory_mode: MemoryMode) -> Stylized:
            return self._paint(stylizer, job, memory_mode, on_step=on_step, every_step=every_step)

        result, memory_mode, shortage = self._with_memory(paint, job.memory_mode, width=width, height=height)
        thumbnail = None if job.source_thumbnails is None else thumbnail_luma(result.state)
        return replace(result, memory_mode=memory_mode, shortage=shortage, thumbnail_luma=thumbnail)

    def _with_memory(
        self, work: Callable[[MemoryMode], _Result], wanted: MemoryMode, *, width: int, height: int
    ) -> tuple[_Result, MemoryMode, str]:
        """Do work in the first memory mode that suffices; the text says why it is not the one that was wanted."""
        modes, estimate = self._ladder.modes_from(wanted, width=width, height=height)
        try:
            with self._device_lock:
                result, memory_mode, failure = try_modes(work, modes, free=lambda: free_caches(self._device))
        except ScarceMemoryError as error:
            available = available_memory(self._ladder.limit, self._device)
            raise too_large_error(
                self._ladder.config, modes[-1], available, error.what, width=width, height=height
            ) from None
        return result, memory_mode, (failure or estimate) if memory_mode != wanted else ""

    def _paint(
        self, stylizer: Stylizer, job: StylizeJob, memory_mode: MemoryMode, *, on_step: OnStep | None, every_step: bool
    ) -> Stylized:
        content = self._content(job)
        result = stylizer.stylize(
            content,
            start=self._start(job, content),
            iterations=job.iterations,
            seed=job.seed,
            step_scale=job.step_scale,
            on_step=on_step,
            every_step=every_step,
            guidance=job.guidance,
            memory_mode=memory_mode,
        )
        state = to_state(result.image)
        shown = None if job.guidance is None else blend_unstyled(state, job.content, job.guidance)
        return Stylized(state, result.losses, result.evaluations, 0.0, staleness=result.staleness, shown=shown)

    def _content(self, job: StylizeJob) -> Tensor:
        """The content on the worker's device; `upload` gives the same numbers as `from_pixels`."""
        return upload(job.content, self._device) if self._device.type == "cuda" else from_pixels(job.content)

    def _start(self, job: StylizeJob, content: Tensor) -> WarmStart | None:
        if not job.starts:
            return None
        if blends_on_device(self._device, self._motion):
            blended = blend_on_device(content, job.starts)
            share = job.content_share
            picture = torch.lerp(blended.picture, content, share) if share > 0 else blended.picture
            return WarmStart(picture, blended.valid, hold=job.hold, rate=job.rate, renew_at=job.renew_at)
        return self._blend_on_cpu(job)

    def _blend_on_cpu(self, job: StylizeJob) -> WarmStart:
        follow, levels = self._motion.follow_light, self._motion.static_lock
        even = self._motion.light_share is not None  # then all frames have one light, and no start must be relit
        blended = blend(job.content, job.starts, follow_light=follow, static_levels=levels)
        light, static, source = (
            None if map_ is None else self._to_device(map_)
            for map_ in (blended.luma_change, blended.static, None if even else blended.warped_source)
        )
        first = blended.picture
        if job.content_share > 0:
            share = np.float32(job.content_share)
            first = (1 - share) * first + share * to_float_planes(job.content)
        picture, mask = self._to_device(first), self._to_device(blended.valid)
        return WarmStart(picture, mask, light, static, source, hold=job.hold, rate=job.rate, renew_at=job.renew_at)

    def _to_device(self, channels: NDArray[np.float32]) -> Tensor:
        """`(H, W)` or `(C, H, W)` to `(1, C, H, W)`."""
        return torch.from_numpy(channels.reshape(1, -1, *channels.shape[-2:])).to(self._device)


def blends_on_device(device: torch.device, motion: MotionConfig) -> bool:
    """True if starts are blended on the worker's device rather than on the CPU with OpenCV.

    On a CPU OpenCV is faster; changing light and static parts are handled by it alone.
    """
    return device.type == "cuda" and not motion.reads_sources


def is_stale(result: Stylized) -> bool:
    """True if a frame is known to show an earlier one."""
    return result.staleness is not None and result.staleness > _MAX_STALENESS


def quality_problem_of(job: StylizeJob, result: Stylized) -> str:
    """Compare a result with the starts of its job, and with its own content; returns its problem, empty without one."""
    if job.source_thumbnails is None or result.thumbnail_luma is None:
        return ""
    if is_stale(result):
        return f"it shows an earlier frame: {result.staleness:.2g} times as far from its source as a fresh painting"
    known = job.state_thumbnails or (None,) * len(job.starts)
    neighbours = [
        Neighbour(thumbnail_luma(start.state) if thumbnail is None else thumbnail, source, start.flow)
        for start, source, thumbnail in zip(job.starts, job.source_thumbnails, known, strict=True)
        if start.flow is not None and source is not None
    ]
    return quality_problem(result.thumbnail_luma, thumbnail_luma(job.content), neighbours)


def _retry_seed(seed: int) -> int:
    return int(np.random.SeedSequence([seed, 1]).generate_state(1)[0])


class FlowWorker:
    """Estimates optical flows, with OpenCV or with RAFT on one device."""

    def __init__(self, config: MotionConfig, raft: Raft | None = None) -> None:
        self._config = config
        self._raft = raft

    def run(self, job: FlowJob) -> FlowPair:
        """Estimate the flows between the job's frame and its reference; a `NotedFlowPair` if memory was too small.

        Raises:
            FarmError: the method is raft, and the worker has no weights.
        """
        config = self._config
        if self._raft is not None:
            return estimate_in_memory(self._raft, job.frame, job.reference, config)
        if config.method == "raft":
            raise FarmError("motion.method is raft, but no weights came with the flow worker", "set it to dis")
        guess = None if job.through is None else compose_pairs(*job.through)
        return estimate_pair(job.frame, job.reference, config, guess=guess)


@dataclass(frozen=True)
class FlowWorkerFactory:
    """Makes a flow worker in its process; carries everything it needs, so that no file is read there."""

    config: MotionConfig
    raft: Mapping[str, NDArray[np.float32]] | Shared | None = None
    """RAFT's weights by name; None if the method is another, or no flow is estimated."""
    device: str = "auto"
    """The device of RAFT: auto, cpu or cuda."""
    threads: int | None = None
    """Threads of torch and OpenCV on a CPU; None does not set them."""

    def __call__(self) -> FlowWorker:
        config = self.config
        uses_raft = config.method != "dis" and self.raft is not None
        device = pick_device(self.device if uses_raft else "cpu")
        if self.threads is not None and device.type == "cpu":
            _use_threads(self.threads)
        if self.raft is None or not uses_raft:
            return FlowWorker(config)
        network = build_raft(self.raft.get() if isinstance(self.raft, Shared) else self.raft, device)
        return FlowWorker(config, Raft(network, config, device=device))
