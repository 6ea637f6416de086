"""The work of a stylizing worker with transform networks: a stage of a training, and the painting of a frame."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from vidnst.config.temporal import TrainingConfig
from vidnst.devices.determinism import reproducible_mode
from vidnst.errors import ScarceMemoryError
from vidnst.farm.jobs import GivenPart, PaintJob, Shared, Stylized, Trained, TrainingPair, TrainJob
from vidnst.farm.memory_fallback import free_caches, try_modes
from vidnst.frames import Pixels
from vidnst.lru_cache import LruCache
from vidnst.motion.blend import WarmSource, blend
from vidnst.motion.flow import Flow
from vidnst.motion.warp import crop_flow
from vidnst.style.guidance import Guidance, RegionGuidance, blend_unstyled, style_shares
from vidnst.style.losses.objective import WarmStart
from vidnst.style.losses.painted_patches import PaintedSample
from vidnst.style.memory.modes import MemoryMode
from vidnst.style.stylizer import Stylizer
from vidnst.style.tensors import from_pixels, to_state
from vidnst.style.transform.colour_map import ColourMoments
from vidnst.style.transform.network import PAINTED_TILE_PX, TransformNetwork
from vidnst.style.transform.pretrained import PRETRAINED_FILE, read_pretrained
from vidnst.style.transform.training import PairedFrame, Sample, Training

_SMALL_TILES_PX = (512, 256)
"""Sides of the tiles that are tried where memory is short."""
_NETWORKS_KEPT = 4
"""Networks that a worker keeps on its device, each of some hundred thousand values."""

Window = tuple[slice, slice]
"""Rows and columns of a frame."""


@dataclass(frozen=True, slots=True)
class _TrainingFrame:
    """A crop of a frame, as the training reads it."""

    pixels: Pixels
    content: Tensor
    shares: Tensor | None
    guidance: Guidance | None


def train_stage(stylizer: Stylizer, job: TrainJob, plan: TrainingConfig, memory_mode: MemoryMode) -> Trained:
    """Do a stage of a training.

    Raises:
        NumericalError: a loss is NaN or infinite.
        RunError: the state belongs to another network.
    """
    began = time.perf_counter()
    stage = job.node.stage
    if job.state is None:
        training, losses = _measured(stylizer, job, plan), {}
    else:
        training = Training(
            stylizer,
            plan,
            styles=_style_count(stylizer, job.guidances[0]),
            seed=job.seed,
            clip_share=stylizer.clip_share,
        )
        training.restore(job.state, plan.steps_before(stage))
        losses = training.train(
            _samples(stylizer, job, plan.crop),
            plan.steps_of(stage),
            painted=_painted_samples(stylizer, job),
            memory_mode=replace(memory_mode, scale=1),
        )
    state = training.network.to_vector() if stage == plan.stages else training.state()
    return Trained(state, losses, plan.steps_of(stage), time.perf_counter() - began)


def _measured(stylizer: Stylizer, job: TrainJob, plan: TrainingConfig) -> Training:
    """A training before its first step: the network knows the clip's colours and statistics."""
    start = _pretrained(stylizer, job) if plan.start == "pretrained" else None
    training = Training(stylizer, plan, styles=_style_count(stylizer, job.guidances[0]), seed=job.seed, start=start)
    network = training.network
    network.match_colours(*_colours(stylizer, job))
    generator = np.random.default_rng(job.seed)
    height, width = job.frames[0].shape[:2]
    windows = [_window(generator, height, width, plan.crop) for _ in job.frames]
    frames = [_frame(stylizer, job, place, window) for place, window in enumerate(windows)]
    network.measure([(frame.content, frame.shares) for frame in frames])
    return training


def _colours(stylizer: Stylizer, job: TrainJob) -> tuple[ColourMoments, list[ColourMoments]]:
    """The colours of the frames, and what becomes of them in each style; with keys, those of the keys' frames."""
    keys = [(pixels, given.state) for pixels, given in _given_frames(job) if given.opaque is None]
    if keys and job.guidances[0] is None:
        own, goal = (ColourMoments.of(from_pixels(pixels) for pixels in side) for side in zip(*keys, strict=True))
        return own, [goal]
    own = ColourMoments.of(from_pixels(pixels) for pixels in job.frames)
    goals = [ColourMoments.of([from_pixels(pixels)]) for pixels, _ in stylizer.styles]
    if job.guidances[0] is None:
        goals = [ColourMoments.mixed(goals, [weight for _, weight in stylizer.styles])]
    return own, goals


def _given_frames(job: TrainJob) -> list[tuple[Pixels, GivenPart]]:
    """The frames of which something is painted, with that."""
    if not job.given:
        return []
    return [(pixels, given) for pixels, given in zip(job.frames, job.given, strict=True) if given is not None]


def _painted_samples(stylizer: Stylizer, job: TrainJob) -> list[PaintedSample]:
    """What a person has painted of the frames, whole."""
    if not job.given:
        return []
    samples: list[PaintedSample] = []
    for pixels, guidance, given in zip(job.frames, job.guidances, job.given, strict=True):
        if given is None:
            continue
        content, painting = (from_pixels(part, stylizer.device) for part in (pixels, given.state))
        shares = _shares(stylizer, guidance, *pixels.shape[:2])
        samples.append(PaintedSample(content, painting, given.opaque, shares))
    return samples


class PaintingNetworks:
    """The transform networks that a worker has painted with of late, ready on its device.

    Args:
        device: where they paint.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._networks: LruCache[tuple[str, int], TransformNetwork] = LruCache(_NETWORKS_KEPT)

    def get(self, network: Shared, styles: int) -> TransformNetwork:
        """The network of a job.

        Raises:
            ValueError: it has another number of styles.
        """
        if not network.key:  # values that nobody named may differ
            return self._make(network, styles)
        return self._networks.get((network.key, styles), lambda: self._make(network, styles))

    def clear(self) -> None:
        """Forget all of them."""
        self._networks.clear()

    def _make(self, network: Shared, styles: int) -> TransformNetwork:
        made = TransformNetwork(styles=styles)
        made.load_vector(network.get())
        return made.to(self._device).eval()


def paint_in_memory(stylizer: Stylizer, job: PaintJob, networks: PaintingNetworks) -> Stylized:
    """Paint a frame as `paint_frame` does, in smaller tiles where memory is short; they leave no seams.

    Raises:
        ScarceMemoryError: the smallest tiles do not fit.
    """

    def paint(mode: MemoryMode) -> Stylized:
        return paint_frame(stylizer, job, networks, tile_px=mode.tile_px or PAINTED_TILE_PX)

    modes = [MemoryMode(), *(MemoryMode(tile_px=side) for side in _SMALL_TILES_PX)]
    try:
        return try_modes(paint, modes, free=lambda: free_caches(stylizer.device))[0]
    except ScarceMemoryError as error:
        height, width = job.content.shape[:2]
        raise ScarceMemoryError(
            f"a frame of {width}x{height} does not fit into memory, even painted in tiles ({error.what})",
            "render smaller frames with --size, or with fewer workers at once",
        ) from None


def paint_frame(
    stylizer: Stylizer, job: PaintJob, networks: PaintingNetworks, *, tile_px: int = PAINTED_TILE_PX
) -> Stylized:
    """Paint a frame with a network; regions without style show the source, and what a person has painted stays.

    Args:
        stylizer: of the frame's styles.
        job: the frame and its network.
        networks: those of the worker.
        tile_px: longest side of the tiles in which it is painted, a multiple of 4.

    Raises:
        ValueError: the network has another number of styles.
    """
    began = time.perf_counter()
    network = networks.get(job.network, _style_count(stylizer, job.guidance))
    height, width = job.content.shape[:2]
    content = from_pixels(job.content, stylizer.device)
    with torch.no_grad(), reproducible_mode():
        painted = network.paint(content, _shares(stylizer, job.guidance, height, width), tile_px=tile_px)
        unstyled = stylizer.unstyled(job.guidance, height, width)
        state = to_state(painted if unstyled is None else torch.where(unstyled, content, painted))
    shown = None if job.guidance is None else blend_unstyled(state, job.content, job.guidance)
    if job.given is not None:
        state, shown = job.given.mixed_over(state), None if shown is None else job.given.mixed_over(shown)
    seconds = time.perf_counter() - began
    return Stylized(state, {}, 0, seconds, shown=shown, memory_mode=job.memory_mode)


def _pretrained(stylizer: Stylizer, job: TrainJob) -> TransformNetwork:
    """The network that ships, with what it predicts for the styles."""
    height, width = job.frames[0].shape[:2]
    guided = job.guidances[0] is not None
    return read_pretrained(PRETRAINED_FILE).for_styles(
        stylizer.styles, height, width, stylizer.styles_config, guided=guided
    )


def _style_count(stylizer: Stylizer, guidance: Guidance | None) -> int:
    """A network without guidance learns all styles as one, with the weights that they have everywhere."""
    return 1 if guidance is None else len(stylizer.styles)


def _samples(stylizer: Stylizer, job: TrainJob, crop_px: int) -> list[Sample]:
    """Crops of the pairs, or of a frame where there are none."""
    height, width = job.frames[0].shape[:2]
    generator = np.random.default_rng((job.seed, job.node.stage))
    if not job.pairs:
        frame = _frame(stylizer, job, 0, _window(generator, height, width, crop_px))
        return [Sample(frame.content, frame.shares, frame.guidance)]
    samples: list[Sample] = []
    for pair in job.pairs:
        samples += _samples_of_pair(stylizer, job, pair, _window(generator, height, width, crop_px))
    return samples


def _samples_of_pair(stylizer: Stylizer, job: TrainJob, pair: TrainingPair, window: Window) -> list[Sample]:
    """A crop of each frame of a pair as a sample that is held to the other."""
    height, width = job.frames[0].shape[:2]
    later, earlier = (_frame(stylizer, job, place, window) for place in (pair.later, pair.earlier))
    forward, backward = (crop_flow(flow, height, width, window) for flow in pair.flows)
    return [
        Sample(
            own.content,
            own.shares,
            own.guidance,
            PairedFrame(other.content, other.shares, _warp_to(own.pixels, flow, stylizer.device)),
        )
        for own, other, flow in ((later, earlier, forward), (earlier, later, backward))
    ]


def _frame(stylizer: Stylizer, job: TrainJob, place: int, window: Window) -> _TrainingFrame:
    pixels = job.frames[place][window].copy()
    guidance = _cropped(job.guidances[place], window)
    shares = _shares(stylizer, guidance, *pixels.shape[:2])
    return _TrainingFrame(pixels, from_pixels(pixels, stylizer.device), shares, guidance)


def _window(generator: np.random.Generator, height: int, width: int, crop_px: int) -> Window:
    """A random window of at most `crop_px` a side."""
    sides = [(min(side, crop_px), side) for side in (height, width)]
    starts = [int(generator.integers(side - cropped + 1)) for cropped, side in sides]
    rows, columns = (slice(start, start + cropped) for start, (cropped, _) in zip(starts, sides, strict=True))
    return rows, columns


def _cropped(guidance: Guidance | None, window: Window) -> Guidance | None:
    if guidance is None:
        return None
    regions = tuple(
        RegionGuidance(region.mixes, None if region.guide is None else np.ascontiguousarray(region.guide[window]))
        for region in guidance.regions
    )
    return replace(guidance, regions=regions)


def _warp_to(frame: Pixels, flow: Flow, device: torch.device) -> Callable[[Tensor], WarmStart]:
    """Return a function that turns the painting of the flow's reference into the start of the frame."""

    def warp(painted: Tensor) -> WarmStart:
        blended = blend(frame, [WarmSource(to_state(painted), flow)])
        picture, valid = (torch.from_numpy(array).to(device) for array in (blended.picture, blended.valid))
        return WarmStart(picture[None], valid[None, None])

    return warp


def _shares(stylizer: Stylizer, guidance: Guidance | None, height: int, width: int) -> Tensor | None:
    """The share of each style at every pixel, `(1, S, H, W)`, or `(1, S, 1, 1)` without regions."""
    if guidance is None:
        return None
    if all(region.guide is None for region in guidance.regions):
        height = width = 1
    shares = np.zeros((1, len(stylizer.styles), height, width), np.float32)
    for region in guidance.regions:
        part = np.float32(1) if region.guide is None else region.guide.astype(np.float32) / 255
        for style, share in style_shares(region.mixes).items():
            shares[0, style] += part * np.float32(share)
    return torch.from_numpy(shares).to(stylizer.device)
