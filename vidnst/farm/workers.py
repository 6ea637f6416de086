"""What one actor does: stylize frames, or find flows. Plain classes that a test can call; no Ray here."""

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vidnst.config import MotionConfig, RenderConfig
from vidnst.errors import FarmError, ScarceMemoryError
from vidnst.farm.jobs import FlowJob, Shared, Stylized, StylizeJob
from vidnst.farm.memory_fallback import MemoryLadder, climb, free_caches, given_memory, room_left, too_large
from vidnst.frames import Pixels, State, to_16_bits, to_float_planes
from vidnst.motion.blend import blend
from vidnst.motion.flow import FlowPair, compose_pairs, estimate_pair
from vidnst.motion.gpu.blend import blend_on_device
from vidnst.motion.gpu.upload import upload
from vidnst.motion.opencv_threads import set_opencv_threads
from vidnst.motion.quality_gate import Neighbour, quality_problem, thumbnail_luma
from vidnst.motion.raft import Raft, build_raft
from vidnst.style.guidance import Guidance, blend_with_source
from vidnst.style.losses.objective import WarmStart
from vidnst.style.memory.modes import MemoryMode
from vidnst.style.minimize import OnStep
from vidnst.style.network.precision import resolve_precision
from vidnst.style.stylizer import Stylizer
from vidnst.style.tensors import from_pixels, to_state


@dataclass(frozen=True)
class StyleWorkerFactory:
    """Makes a stylizing worker where it is to live; travels there with all it needs, so no file is read there."""

    config: RenderConfig
    features: Mapping[str, NDArray[np.float32]] | Shared | None
    """Weights of the network by name; None where no frame is to be optimised."""
    styles: Sequence[tuple[Pixels, float]]
    """Style pictures with their weights."""
    threads: int | None = None
    """Threads of torch and OpenCV on a CPU; None leaves them as they are."""

    def __call__(self) -> "StyleWorker":
        device = pick_device(self.config.farm.device)
        if self.threads is not None and device.type == "cpu":
            _use_threads(self.threads)
        if self.features is None:
            return StyleWorker(None, device, MemoryLadder(self.config, None))
        half = resolve_precision(self.config, device) != self.config
        rungs = MemoryLadder(self.config, given_memory(self.config, device), half)
        features = self.features.get() if isinstance(self.features, Shared) else self.features
        stylizer = Stylizer(features, self.styles, self.config, device=device)
        return StyleWorker(stylizer, device, rungs)


def _use_threads(count: int) -> None:
    torch.set_num_threads(count)
    set_opencv_threads(count)


def pick_device(wanted: str) -> torch.device:
    """The device a worker computes on.

    Raises:
        FarmError: CUDA was asked for and torch sees none.
    """
    available = torch.cuda.is_available()
    if wanted == "cuda" and not available:
        raise FarmError("farm.device is cuda, but torch sees no GPU", "run `vidnst doctor`, or set farm.device=cpu")
    return torch.device("cuda" if available and wanted != "cpu" else "cpu")


def gpus_of() -> list[int]:
    """Bytes of memory of each GPU that torch sees."""
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return [int(torch.cuda.get_device_properties(number).total_memory) for number in range(count)]


class StyleWorker:
    """Holds a network on one device and stylizes one frame at a time.

    Args:
        rungs: what it may do where a frame does not fit into memory.
    """

    def __init__(self, stylizer: Stylizer | None, device: torch.device, rungs: MemoryLadder) -> None:
        self._stylizer = stylizer
        self._device = device
        self._rungs = rungs
        self._motion = rungs.config.motion
        self._painting = threading.Lock()
        """Held while a frame is painted: there may be several threads, but there is one device."""

    def run(self, job: StylizeJob, *, on_step: OnStep | None = None, every_step: bool = False) -> Stylized:
        """Stylize a frame, and once again with another seed where it looks wrong.

        Args:
            on_step, every_step: who watches, and how closely: see `Stylizer.stylize`.

        Raises:
            NumericalError: the optimisation gave NaN or infinity.
            ScarceMemoryError: the frame does not fit into memory, whatever is done.
        """
        began = time.perf_counter()
        if job.iterations == 0 or self._stylizer is None:
            return Stylized(to_16_bits(job.content), {}, 0, time.perf_counter() - began, memory_mode=job.memory_mode)
        result = _seen(job, self._stylize(self._stylizer, job, on_step=on_step, every_step=every_step))
        if wrong := quality_problem_of(job, result.thumbnail_luma):
            job = replace(job, seed=_other_seed(job.seed), memory_mode=result.memory_mode)
            before = result
            result = _seen(job, self._stylize(self._stylizer, job, on_step=on_step, every_step=every_step))
            still = quality_problem_of(job, result.thumbnail_luma)
            shortage = before.shortage or result.shortage
            result = replace(result, suspect=still, mended="" if still else wrong, shortage=shortage)
        return replace(result, seconds=time.perf_counter() - began)

    def _stylize(self, stylizer: Stylizer, job: StylizeJob, *, on_step: OnStep | None, every_step: bool) -> Stylized:
        """The frame, painted with the least saving of memory that is enough, from the job's own on."""
        height, width = job.content.shape[:2]
        rungs, reckoned = self._rungs.above(job.memory_mode, width=width, height=height)

        def paint(memory_mode: MemoryMode) -> Stylized:
            return self._paint(stylizer, job, memory_mode, on_step=on_step, every_step=every_step)

        try:
            with self._painting:
                result, memory_mode, why = climb(paint, rungs, free=lambda: free_caches(self._device))
        except ScarceMemoryError as error:
            room = room_left(self._rungs.limit, self._device)
            raise too_large(self._rungs.config, rungs[-1], room, error.what, width=width, height=height) from None
        return replace(
            result, memory_mode=memory_mode, shortage=(why or reckoned) if memory_mode != job.memory_mode else ""
        )

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
        shown = None if job.guidance is None else _shown(state, job.content, job.guidance)
        return Stylized(state, result.losses, result.evaluations, 0.0, shown)

    def _content(self, job: StylizeJob) -> Tensor:
        """The same numbers by either way: a CPU need not send them anywhere."""
        return upload(job.content, self._device) if self._device.type == "cuda" else from_pixels(job.content)

    def _start(self, job: StylizeJob, content: Tensor) -> WarmStart | None:
        if not job.starts:
            return None
        if blends_there(self._device, self._motion):
            begun = blend_on_device(content, job.starts)
            picture = torch.lerp(begun.picture, content, job.renew) if job.renew > 0 else begun.picture
            return WarmStart(picture, begun.valid, hold=job.hold, rate=job.rate)
        return self._blended_here(job)

    def _blended_here(self, job: StylizeJob) -> WarmStart:
        """A start that OpenCV has blended, on the CPU."""
        follow, still = self._motion.follow_light, self._motion.static_lock
        begun = blend(job.content, job.starts, follow_light=follow, static_levels=still)
        light, stands, before = (
            None if map_ is None else self._to_device(map_)
            for map_ in (begun.luma_change, begun.static, begun.warped_source)
        )
        first = begun.picture
        if job.renew > 0:
            first = (1 - np.float32(job.renew)) * first + np.float32(job.renew) * to_float_planes(job.content)
        picture, mask = self._to_device(first), self._to_device(begun.valid)
        return WarmStart(picture, mask, light, stands, before, hold=job.hold, rate=job.rate)

    def _to_device(self, channels: NDArray[np.float32]) -> Tensor:
        """`(H, W)` or `(C, H, W)` to `(1, C, H, W)`."""
        return torch.from_numpy(channels.reshape(1, -1, *channels.shape[-2:])).to(self._device)


def blends_there(device: torch.device, motion: MotionConfig) -> bool:
    """Whether starts are blended on the worker's device rather than on the CPU with OpenCV.

    On a CPU OpenCV is faster; light and what stands still are followed by it alone.
    """
    return device.type == "cuda" and not motion.reads_sources


def _seen(job: StylizeJob, result: Stylized) -> Stylized:
    """The same with its glimpse, where the job has some to compare it with."""
    return result if job.source_thumbnails is None else replace(result, thumbnail_luma=thumbnail_luma(result.state))


def quality_problem_of(job: StylizeJob, painted: NDArray[np.float32] | None) -> str:
    """What is wrong with a result by what its job reads; empty where nothing is, or nobody wants to know.

    Args:
        painted: its glimpse.
    """
    if job.source_thumbnails is None or painted is None:
        return ""
    known = job.painted or (None,) * len(job.starts)
    others = [
        Neighbour(thumbnail_luma(start.state) if seen is None else seen, source, start.flow)
        for start, source, seen in zip(job.starts, job.source_thumbnails, known, strict=True)
        if start.flow is not None and source is not None
    ]
    return quality_problem(painted, thumbnail_luma(job.content), others)


def _other_seed(seed: int) -> int:
    return int(np.random.SeedSequence([seed, 1]).generate_state(1)[0])


def _shown(state: State, source: Pixels, guidance: Guidance) -> State | None:
    """What the viewer sees of a frame, where regions without style end softly.

    Warm starts do not read it: laid over the source again and again, pass by pass, the edge would become all source.
    """
    bare = guidance.unstyled
    if bare is None or not ((bare > 0) & (bare < 255)).any():
        return None
    return blend_with_source(state, source, bare)


class FlowWorker:
    """Finds optical flows, with OpenCV or with a network on one device."""

    def __init__(self, config: MotionConfig, raft: Raft | None = None) -> None:
        self._config = config
        self._raft = raft

    def run(self, job: FlowJob) -> FlowPair:
        """The flows between the job's frame and its reference.

        Raises:
            FarmError: RAFT is asked for, and the worker was made without it.
        """
        config = self._config
        if self._raft is not None:
            return self._raft.estimate_pair(job.frame, job.reference)
        if config.method == "raft":
            raise FarmError("motion.method is raft, but no weights came with the flow worker", "set it to dis")
        guess = None if job.through is None else compose_pairs(*job.through)
        return estimate_pair(job.frame, job.reference, config, guess=guess)


@dataclass(frozen=True)
class FlowWorkerFactory:
    """Makes a flow worker where it is to live; travels there with all it needs, so no file is read there."""

    config: MotionConfig
    raft: Mapping[str, NDArray[np.float32]] | Shared | None = None
    """RAFT's weights by name; None where the method is another, or no flow is to be found."""
    device: str = "auto"
    """What RAFT computes on: auto, cpu or cuda."""
    threads: int | None = None
    """Threads of torch and OpenCV on a CPU; None leaves them as they are."""

    def __call__(self) -> FlowWorker:
        config = self.config
        by_network = config.method != "dis" and self.raft is not None
        device = pick_device(self.device if by_network else "cpu")
        if self.threads is not None and device.type == "cpu":
            _use_threads(self.threads)
        if self.raft is None or not by_network:
            return FlowWorker(config)
        network = build_raft(self.raft.get() if isinstance(self.raft, Shared) else self.raft, device)
        return FlowWorker(config, Raft(network, config, device=device))
