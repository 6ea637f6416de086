"""Single frames of a source: read, filtered, guided, stylized and finished as a render does it.

Everything goes through the functions that a render uses, so that a preview shows what the render will show. What
depends on neighbouring frames is as at the first frame of a shot: a frame starts cold, and a palette or the source's
colours are learned from the frames that are shown.
"""

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from vidnst.config import FarmConfig, RenderConfig, Role
from vidnst.config.loader import with_settings
from vidnst.config.timecode import frame_range, parse_position
from vidnst.errors import ConfigError, RangeError
from vidnst.events import OnEvent, Stage, Warned, ignore
from vidnst.farm.jobs import PaintJob, Shared, Stylized, StylizeJob, Trained, TrainJob
from vidnst.farm.plan import NetworkId, StateId
from vidnst.farm.provisioning import WorkerCounts, choose_worker_counts
from vidnst.farm.workers import StyleWorker, StyleWorkerFactory, pick_device
from vidnst.frames import ClipInfo, Pixels, Shot, from_float, shot_number, spread_over, to_bits, to_float
from vidnst.media.adjust.adjustments import Adjuster, find_adjustments
from vidnst.media.effects.colour_space import shrink_image
from vidnst.media.effects.colour_transfer import sample_colours
from vidnst.media.input.frame_cache import FrameCache
from vidnst.media.input.frame_reader import fit_size
from vidnst.media.input.probe import probe_input
from vidnst.media.input.shots import find_shots
from vidnst.processes.parallel import local_cores
from vidnst.rendering.effects_pass import coloured
from vidnst.rendering.job_builder import node_seed
from vidnst.rendering.styles.guidance_builder import GuidanceBuilder
from vidnst.rendering.styles.regions import Guides, RegionSource, find_masks
from vidnst.rendering.styles.style_spec import StylePicture, needs_guidance, timeline_of
from vidnst.rendering.styles.timeline import check_shots
from vidnst.style.guidance import Guidance
from vidnst.style.minimize import OnStep

if TYPE_CHECKING:  # it loads scikit-image
    from vidnst.media.effects.effect_chain import EffectChain


@dataclass(frozen=True, slots=True)
class PreviewSource:
    """The frame range of a source from which a preview takes its frames."""

    clip: ClipInfo
    start: int
    """First frame, an index of the whole source."""
    end: int
    """Frame after the last."""
    config: RenderConfig
    on_event: OnEvent = ignore

    def find_shots(self) -> list[Shot]:
        """Find the shots of the range as a render does.

        Raises:
            RangeError: a given cut is outside the clip.
        """
        self.on_event(Stage("shots", 0, self.end - self.start))
        return find_shots(self.clip, start=self.start, end=self.end, method=self.config.input.shots)

    def spread_frames(self, count: int) -> list[int]:
        """Choose at most `count` evenly spread frames, some of every shot if there are no more shots than frames."""
        count = min(count, self.end - self.start)
        shots = self.find_shots() if count > 1 else []
        if not 1 < len(shots) <= count:
            return spread_over(self.start, self.end, count)
        counts = zip(shots, _frames_per_shot(shots, count), strict=True)
        return sorted(index for shot, part in counts for index in spread_over(shot.start, shot.end, part))

    def resolve_frames(self, texts: Sequence[str | int]) -> list[int]:
        """Resolve texts like `20`, `1.5s` or a timecode to frame indices, each once and in ascending order.

        Raises:
            ConfigError: a text is no position.
            RangeError: a position is outside the range.
        """
        texts_by_index = {parse_position(str(text), self.clip): text for text in texts}
        for index, text in texts_by_index.items():
            if not self.start <= index < self.end:
                limits = f"it has frames {self.start} to {self.end - 1}"
                raise RangeError(f"frame {text} is outside the range of {self.clip.source}", limits)
        return sorted(texts_by_index)

    def read_frames(self, indices: Sequence[int], *, size: int | None) -> dict[int, Pixels]:
        """Read frames as a render at that size sees them: deflickered and registered if the settings ask for it.

        Args:
            indices: of the whole source, inside the range.
            size: longest side in pixels; None keeps the source's.

        Raises:
            BadFrameError: a frame does not decode.
            SourceError: frames to be registered have too little in common.
        """
        settings, adjuster = self.config.input, None
        shots, pixels = [Shot(self.start, self.end)], fit_size(self.clip.width, self.clip.height, size)
        if settings.adjusts:
            shots = self.find_shots()
            adjustments = find_adjustments(self.clip, shots, settings)
            pixels = adjustments.size(self.clip, size)
            adjuster = Adjuster(adjustments, self.clip, pixels)
        policy = settings.on_bad_frame
        with closing(
            FrameCache(self.clip, shots, size=pixels, on_bad_frame=policy, adjuster=adjuster, frames=1)
        ) as cache:
            return {index: cache.get(shot_number(shots, index), index) for index in sorted(indices)}


def open_source(
    source: str | Path | Sequence[str | Path], config: RenderConfig, *, on_event: OnEvent = ignore
) -> PreviewSource:
    """Probe a source and resolve the configuration's range of it.

    Raises:
        SourceError, RangeError: it cannot be read, or the configuration's range is outside it.
        ConfigError: a position cannot be parsed.
    """
    on_event(Stage("probing"))
    clip = probe_input(source, config.input)
    start, end = frame_range(clip, config.input.start, config.input.end)
    return PreviewSource(clip, start, end, config, on_event)


def filter_frame(pixels: Pixels, config: RenderConfig) -> Pixels:
    """Apply the filters that come before rendering to a source frame `(H, W, 3)`."""
    if not config.filters.before:
        return pixels
    from vidnst.media.effects.effect_chain import source_chain

    picture = to_float(pixels)
    return _apply(source_chain(config), picture, picture, 16 if pixels.dtype.itemsize == 2 else 8)


def recolour_styles(
    styles: Sequence[StylePicture], frames: Sequence[Pixels], config: RenderConfig
) -> tuple[StylePicture, ...]:
    """Give the style pictures the colours of some frames, if the settings ask for it."""
    if config.colour.transfer == "none" and config.colour.keep != "matched":
        return tuple(styles)
    colours = sample_colours([shrink_image(to_float(pixels), 256) for pixels in frames], seed=config.optimize.seed)
    return tuple(replace(style, pixels=coloured(style.pixels, colours, config)) for style in styles)


def guide_frame(
    styles: Sequence[StylePicture], source: PreviewSource, index: int, size: tuple[int, int]
) -> Guidance | None:
    """Build the weights of the styles in a frame, region by region; None if all styles hold everywhere.

    A mask of one picture is not tracked.

    Args:
        index: of the frame in the whole source.
        size: its width and height as it is stylized.

    Raises:
        ConfigError: a moment, a region or a mask is wrong, or no style is for the frame's shot.
    """
    if not needs_guidance(styles, source.config):
        return None
    config = with_settings(source.config, {"regions.follow": False})
    clip, (start, end) = source.clip, (source.start, source.end)
    entries, shots = timeline_of(styles, clip), source.find_shots()
    check_shots(entries, len(shots))
    masks = find_masks(config, entries, clip, start=start, end=end, size=size)
    if source.config.regions.follow and index != start and not all(mask.moves for mask in masks):
        source.on_event(Warned(f"frame {index} is shown with masks as they are at frame {start}, without tracking"))
    guides = Guides(masks, RegionSource(clip, shots, size, config), Path()) if masks else None
    with closing(GuidanceBuilder(styles, entries, clip, guides)) as builder:
        return builder(shot_number(shots, index), index)


def cold_start_job(index: int, pixels: Pixels, config: RenderConfig, *, guidance: Guidance | None = None) -> StylizeJob:
    """Build the job of a frame that starts cold, as the first frame of a shot does in a render.

    Raises:
        ConfigError: the settings ask for no evaluations.
    """
    node, iterations = StateId(index), config.evaluations(Role.COLD)
    if iterations == 0:
        raise ConfigError("optimize.iterations = 0: there is nothing to see", "give at least 1")
    seed = node_seed(config.optimize.seed, node)
    return StylizeJob(node, pixels, (), iterations=iterations, seed=seed, guidance=guidance)


def count_workers(farm: FarmConfig, *, frames: int) -> WorkerCounts:
    """Choose the number of threads that stylize so many single frames in this process."""
    gpus = float(pick_device(farm.device).type == "cuda")
    return choose_worker_counts(farm, width=frames, cores=local_cores(), gpus=gpus)


def stylize_cold(
    job: StylizeJob,
    config: RenderConfig,
    features: Mapping[str, NDArray[np.float32]],
    styles: Sequence[StylePicture],
    threads: int | None,
    on_step: OnStep | None = None,
    *,
    every_step: bool = False,
) -> Stylized:
    """Stylize a frame as a worker of a render does; sets torch's threads for the calling thread.

    Args:
        job: as `cold_start_job` builds it.
        features: the network's filters.
        threads: of torch on a CPU; None leaves them as they are.
        on_step, every_step: see `Stylizer.stylize`.

    Raises:
        ConfigError: the picture is too small for the layers.
        NumericalError: NaN or infinity during the optimisation.
    """
    worker = _worker(config, features, styles, threads)
    return worker.stylize(job, on_step=on_step, every_step=every_step)


def paint_instantly(
    job: StylizeJob,
    config: RenderConfig,
    features: Mapping[str, NDArray[np.float32]],
    styles: Sequence[StylePicture],
    threads: int | None,
) -> Stylized:
    """Paint a frame with the pretrained network, which measures this frame alone; else as `stylize_cold`."""
    worker = _worker(config, features, styles, threads)
    training = TrainJob(
        NetworkId(0, 1), None, (job.content,), (job.guidance,), (), seed=config.optimize.seed, threads=threads or 1
    )
    network = worker.run(training)
    assert isinstance(network, Trained)
    painted = worker.run(PaintJob(job.node, job.content, Shared("", network.state), job.guidance))
    assert isinstance(painted, Stylized)
    return painted


def _worker(
    config: RenderConfig,
    features: Mapping[str, NDArray[np.float32]],
    styles: Sequence[StylePicture],
    threads: int | None,
) -> StyleWorker:
    return StyleWorkerFactory(config, features, [(style.pixels, style.weight) for style in styles], threads)()


def finish_frame(stylized: Stylized, source: Pixels, config: RenderConfig, *, bits: Literal[8, 16] = 8) -> Pixels:
    """Turn a stylized frame into what a viewer sees, with the effects that come after rendering."""
    state = stylized.state if stylized.shown is None else stylized.shown
    if not config.finishes:
        return to_bits(state, bits)
    from vidnst.media.effects.effect_chain import finishing_chain

    return _apply(finishing_chain(config), to_float(state), to_float(source), bits)


def _apply(
    chain: "EffectChain", picture: NDArray[np.float32], original: NDArray[np.float32], bits: Literal[8, 16]
) -> Pixels:
    fitted = chain.fit([(picture, original)])
    return from_float(fitted(picture, original, {}, None)[0], bits)


def _frames_per_shot(shots: Sequence[Shot], count: int) -> list[int]:
    """Share frames out among shots: at least one each, the others to the shot where they are furthest apart."""
    parts = [1] * len(shots)
    for _ in range(count - len(shots)):
        number = max(range(len(shots)), key=lambda shot: (len(shots[shot]) / (parts[shot] + 1), -shot))
        parts[number] += 1
    return parts
