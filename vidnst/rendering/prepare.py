"""Reading and checking everything a render needs, before any hour is spent on it."""

import importlib.metadata
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vidnst.config import RenderConfig
from vidnst.errors import CancelledError
from vidnst.events import Cancelled, OnEvent, Stage, Warned, ignore
from vidnst.frames import ClipInfo, Shot
from vidnst.rendering.styles.regions import absolute_masks, find_masks, mask_marks
from vidnst.rendering.styles.style_spec import StylePicture, placed, placing_notes, read_styles
from vidnst.rendering.styles.timeline import TimedStyle
from vidnst.runs import Look, Manifest, StyleMark
from vidnst.runs.request import Request

if TYPE_CHECKING:  # it brings OpenCV
    from vidnst.media.adjust.adjustments import Adjustments
    from vidnst.media.input.masks import Mask


@dataclass(frozen=True, slots=True)
class Job:
    """A request with everything read and checked."""

    request: Request
    clip: ClipInfo
    start: int
    """First frame, an index of the whole source."""
    end: int
    """Frame after the last."""
    width: int
    """Pixels across, as rendered."""
    height: int
    """Pixels down, as rendered."""
    styles: tuple[StylePicture, ...]
    features: Mapping[str, NDArray[np.float32]] | None
    """The network's weights; None where every frame passes through."""
    raft: Mapping[str, NDArray[np.float32]] | None
    """RAFT's weights; None where no flow is found with it."""
    manifest: Manifest
    """What makes this render this render, and how to repeat it."""
    adjustments: "Adjustments | None" = None
    """What is done to each frame before it is rendered; None is nothing, or not known yet."""
    entries: tuple[TimedStyle, ...] = ()
    """Where in time the styles hold."""
    masks: "tuple[Mask, ...]" = ()
    """Of the regions."""
    filtered: ClipInfo | None = None
    """The source's frames as they are rendered, where filters come before; only those of the range are there."""

    @property
    def config(self) -> RenderConfig:
        """The resolved configuration."""
        return self.request.config

    @property
    def passes_through(self) -> bool:
        """Whether frames are only transcoded."""
        return self.config.optimize.iterations == 0

    @property
    def is_measured(self) -> bool:
        """Whether the finished frames are measured."""
        return self.config.output.measure and (self.config.reworks or not self.passes_through)


def prepare(request: Request, *, overwrite: bool = False, on_event: OnEvent = ignore) -> Job:
    """Probe the source, read styles and weights, check the output.

    Where registered frames are to be cropped, the job's size is what there would be if nothing moved: what is left is
    known only once all frames have been looked at.

    Raises:
        VidnstError: of the kind that fits, for the first thing that is wrong.
    """
    from vidnst.media.input.frame_reader import fit_size, frame_range
    from vidnst.media.input.probe import probe
    from vidnst.media.output.preflight import check_output

    config = request.config
    on_event(Stage("probing"))
    clip = probe(request.source, fps=config.input.fps)
    start, end = frame_range(clip, config.input.start, config.input.end)
    width, height = fit_size(clip.width, clip.height, config.input.size)
    if config.input.size is not None and config.input.size > max(clip.width, clip.height):
        note = f"{clip.source} is not enlarged to size {config.input.size}; it is rendered at {width}x{height}"
        on_event(Warned(note))
    if config.input.crops:  # to even sides, also where there is nothing to crop
        width, height = max(2, width // 2 * 2), max(2, height // 2 * 2)
    size = (width, height)
    check_output(request.output, config.output, clip=clip, start=start, end=end, overwrite=overwrite, size=size)
    through = config.optimize.iterations == 0
    styles = () if through and not request.styles else read_styles(request.styles)
    if not through:
        _check_sizes(styles, config, size)
    entries = placed(styles, clip)
    for note in placing_notes(styles, entries, clip, start, end):
        on_event(Warned(note))
    masks = () if through else find_masks(config, entries, clip, start=start, end=end, size=size)
    features = None if through else read_features(config, on_event=on_event)
    raft = None if through else read_raft(config, on_event=on_event)
    manifest = _manifest(request, clip, styles, mask_marks(masks), features, raft)
    return Job(request, clip, start, end, width, height, styles, features, raft, manifest, entries=entries, masks=masks)


def study_frames(
    job: Job, shots: Sequence[Shot], on_event: OnEvent = ignore, cancelled: Cancelled | None = None
) -> Job:
    """The job with what a look at all its frames says is to be done to them first."""
    from vidnst.media.adjust.adjustments import find_adjustments

    total = job.end - job.start

    def tell(done: int) -> None:
        if cancelled and cancelled():
            raise CancelledError("stopped while the frames were looked at")
        on_event(Stage("studying", done, total))

    adjustments = find_adjustments(job.clip, shots, job.config.input, on_progress=tell)
    if lost := adjustments.unregistered:
        named = ", ".join(map(str, lost[:8])) + (", ..." if len(lost) > 8 else "")
        on_event(
            Warned(
                f"{len(lost)} of {total} frames cannot be registered ({named}): too little texture, or too far from"
                " the middle of the shot; each is moved like its nearest registered neighbour"
            )
        )
    return adjusted(job, adjustments)


def adjusted(job: Job, adjustments: "Adjustments") -> Job:
    """The job with these adjustments, and the size they leave."""
    width, height = adjustments.size(job.clip, job.config.input.size)
    return replace(job, width=width, height=height, adjustments=adjustments)


def _check_sizes(styles: Sequence[StylePicture], config: RenderConfig, size: tuple[int, int]) -> None:
    from vidnst.style.losses.laplacian import check_edge_cells
    from vidnst.style.network.backbones import last_layer, stride_px
    from vidnst.style.targets.style_variants import check_scales

    least = stride_px(last_layer(config))
    shapes = [(style.pixels.shape[0], style.pixels.shape[1]) for style in styles]
    check_scales(shapes, config.styles, height=size[1], width=size[0], smallest_side_px=least)
    check_edge_cells(config.losses, height=size[1], width=size[0])


def read_features(config: RenderConfig, *, on_event: OnEvent = ignore) -> dict[str, NDArray[np.float32]]:
    """The backbone's filters up to the deepest layer that the losses ask for; VGG19's are downloaded if need be."""
    from vidnst.style.network.backbones import last_layer
    from vidnst.style.network.weights import load_features, resolve_weights

    def report(done: int, total: int | None) -> None:
        on_event(Stage("weights", done, total))

    backbone = config.model.backbone
    found = resolve_weights(config.model.weights, backbone=backbone, on_progress=report)
    return load_features(found, last_layer(config), backbone=backbone)


def read_raft(config: RenderConfig, *, on_event: OnEvent = ignore) -> dict[str, NDArray[np.float32]] | None:
    """RAFT's weights, downloaded where they are nowhere else; None where the settings need no flow of it."""
    if config.motion.method != "raft" or config.schedule.kind == "independent":
        return None
    from vidnst.motion.raft.weights import load_raft_weights, resolve_raft_weights

    def report(done: int, total: int | None) -> None:
        on_event(Stage("weights", done, total))

    return load_raft_weights(resolve_raft_weights(config.motion.raft_weights, on_progress=report))


def _manifest(
    request: Request,
    clip: ClipInfo,
    styles: Sequence[StylePicture],
    masks: dict[str, str],
    features: Mapping[str, NDArray[np.float32]] | None,
    raft: Mapping[str, NDArray[np.float32]] | None,
) -> Manifest:
    from vidnst.media.input.fingerprint import fingerprint

    config = request.config
    texts = [style.text for style in styles]
    marks = tuple(
        StyleMark(
            path=text.path,
            fingerprint=style.fingerprint,
            weight=text.weight,
            at=text.at,
            shots=text.shots,
            region=text.region,
        )
        for style, text in zip(styles, texts, strict=True)
    )
    look = Look(
        config=config.look(),
        source=fingerprint(clip.paths),
        styles=marks,
        masks=masks,
        backbone=config.model.backbone,
        weights=_weights_mark(features),
        flow_weights=_weights_mark(raft),
    )
    sources = [request.source] if isinstance(request.source, (str, Path)) else request.source
    spec, raft_spec = config.model.weights, config.motion.raft_weights
    return Manifest(
        versions={name: _version(name) for name in ("vidnst", "torch", "opencv-python", "numpy", "scikit-image")},
        config=_config_anywhere(config),
        look=look,
        sources=tuple(_absolute(part) for part in sources),
        weights=_absolute(spec) if spec not in (None, "random") else spec,
        raft_weights=_absolute(raft_spec) if raft_spec is not None else None,
        output=_absolute(request.output),
    )


def _config_anywhere(config: RenderConfig) -> dict[str, Any]:
    """The configuration as plain JSON values that hold from any folder."""
    values = config.model_dump(mode="json")
    values["regions"]["masks"] = absolute_masks(config)
    return values


def _weights_mark(weights: Mapping[str, NDArray[np.float32]] | None) -> str:
    if weights is None:
        return "none"
    from vidnst.weights_file import weights_fingerprint

    return weights_fingerprint(weights)


def _absolute(path: str | Path) -> str:
    return os.path.abspath(path)


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:  # another build of the same library, or a checkout on the path
        return "unknown"
