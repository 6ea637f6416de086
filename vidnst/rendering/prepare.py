"""Reads and checks everything a render needs, before any time is spent on painting."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from vidnst.config import RenderConfig, ScheduleConfig
from vidnst.config.timecode import frame_range
from vidnst.errors import CancelledError, ConfigError, OutputExistsError
from vidnst.events import Cancelled, OnEvent, Stage, Warned, ignore
from vidnst.farm.local_gpus import check_gpus
from vidnst.farm.plan import GivenFrames
from vidnst.frames import ClipInfo, Shot
from vidnst.media.adjust.adjustments import Adjustments, find_adjustments
from vidnst.media.input.frame_reader import fit_size
from vidnst.media.input.masks import Mask
from vidnst.media.input.probe import probe_input
from vidnst.media.output.fates import FateRow, check_strict, notable
from vidnst.media.output.frame_sequence import left_alone, sequence_files
from vidnst.media.output.output_fates import find_fates, find_scene_fates
from vidnst.media.output.preflight import check_output
from vidnst.media.output.resolved_output import ResolvedOutput, resolve_output
from vidnst.media.scene_light import check_transform
from vidnst.rendering.given_keys import PaintedKey, find_keys, given_frames, key_marks, key_styles
from vidnst.rendering.manifest_builder import build_manifest
from vidnst.rendering.network_weights import check_digests, find_weights, load_weights, read_network, read_raft
from vidnst.rendering.sound_check import CheckedSound, check_sound, style_name
from vidnst.rendering.source_check import check_frames_decode, check_masks_decode, with_bad_pictures
from vidnst.rendering.styles.regions import find_masks, mask_marks
from vidnst.rendering.styles.style_spec import StylePicture, read_styles, timeline_of, timeline_warnings
from vidnst.rendering.styles.timeline import TimedStyle
from vidnst.runs import Manifest, holds_run
from vidnst.runs.request import Request
from vidnst.runs.request_inputs import check_spared, named_inputs
from vidnst.style.network.backbones import last_layer, stride_px
from vidnst.style.size_checks import check_edge_cells, check_scales

if TYPE_CHECKING:  # it brings torch
    from vidnst.style.transform.network_file import NetworkFile

_NO_STYLE_REMEDY = (
    "add --style IMAGE, or painted frames with --keys; where only --filter or --style-audio are to work, add"
    " --iterations 0"
)


@dataclass(frozen=True, slots=True)
class CheckedRequest:
    """A request whose source, styles, weights and output have been read and checked."""

    request: Request
    clip: ClipInfo
    start: int
    """First frame, an index of the whole source."""
    end: int
    """Index after the last frame."""
    width: int
    """Pixels across, as rendered unless registration crops the frames."""
    height: int
    """Pixels down, likewise."""
    styles: tuple[StylePicture, ...]
    features: Mapping[str, NDArray[np.float32]] | None
    """The network's weights by name; None if nothing is stylized."""
    raft: Mapping[str, NDArray[np.float32]] | None
    """RAFT's weights by name; None if the flow is not RAFT's."""
    network: "NetworkFile | None"
    """The transform network that was given."""
    manifest: Manifest
    """The render's identity, and how to repeat it."""
    timeline: tuple[TimedStyle, ...] = ()
    """The times and shots in which the styles hold."""
    masks: tuple[Mask, ...] = ()
    """The regions' masks."""
    fates: tuple[FateRow, ...] = ()
    """The fate of each thing that the source holds."""
    keys: tuple[PaintedKey, ...] = ()
    """The frames that a person has painted."""
    sound: CheckedSound | None = None
    """The soundtrack, if it is restyled."""

    @property
    def config(self) -> RenderConfig:
        """The resolved configuration."""
        return self.request.config

    @property
    def frames(self) -> int:
        """Number of frames to render."""
        return self.end - self.start

    @property
    def schedule(self) -> ScheduleConfig:
        """The schedule; frames that only pass through need no other frame."""
        return self.config.schedule if self.config.stylizes else ScheduleConfig(kind="independent")

    @property
    def given(self) -> GivenFrames:
        """The frames that a person has painted, for the plan."""
        return given_frames(self.keys)

    @property
    def has_independent_frames(self) -> bool:
        """True if no frame depends on another, nor on which range of the source is rendered."""
        config = self.config
        needs_range = config.input.adjusts or config.reworks or config.motion.light_share is not None or self.masks
        moves = any(style.at is not None or style.shots for style in self.timeline)
        is_silent = self.sound is None  # chunks of sound begin with the range
        return self.schedule.kind == "independent" and is_silent and not needs_range and not moves

    @property
    def is_measured(self) -> bool:
        """True if the finished frames are measured."""
        return self.config.output.measure and self.config.changes_pictures


def check_request(
    request: Request,
    *,
    overwrite: bool = False,
    frames_only: bool = False,
    here: bool = True,
    on_usable: Callable[[Request, int], object] | None = None,
    on_event: OnEvent = ignore,
) -> CheckedRequest:
    """Probe the source, read styles and weights, check the output.

    If registration crops the frames, the size is that of frames that need no crop: the crop is known only when all
    frames have been studied.

    Args:
        request: source, styles, output and settings.
        overwrite: True if the output may exist.
        frames_only: True if frames are wanted, but no output: then nothing is said of what becomes of the source.
        here: whether this machine's GPUs are to paint the frames, so that they are checked.
        on_usable: called with the request and its number of frames once all is checked but the contents of the
            backbone's weights, which take seconds to read. Those of a file that the user names are checked before.
        on_event: hears of the progress.

    Raises:
        VidnstError: the first thing that is wrong, as the fitting subclass.
    """
    request = with_file_bits(request)
    config = request.config
    if here and config.stylizes:
        check_gpus(config.farm)
    source = _check_source(request, on_event)
    clip, start, end, size = source.clip, source.start, source.end, source.size
    resolved = resolve_output(request.output, config, clip, frames=end - start, size=size)
    config = config.model_copy(update={"output": resolved.settings})
    request = replace(request, config=config)
    inputs = (*named_inputs(request.source, request.styles, config), *request.reads)
    target = (request.output, config.output)
    try:
        check_output(*target, clip=clip, start=start, end=end, overwrite=overwrite, size=size, inputs=inputs)
    except OutputExistsError as error:
        if request.continues:  # it cannot choose another name
            raise OutputExistsError(error.what, "add --overwrite") from error
        raise
    if files := sequence_files(request.output, config.output, clip=clip, start=start, end=end):
        for note in filter(None, [left_alone(request.output, files)]):
            on_event(Warned(note))
    fates = _find_fates(request, resolved, source, on_event, frames_only=frames_only)
    sound = None if frames_only else check_sound(request.output, config, clip, start, end, size, on_event)
    keys = find_keys(config, clip, start=start, end=end, size=size, on_event=on_event)
    if keys and not request.styles:
        request = replace(request, styles=key_styles(keys))
    styles = read_styles(request.styles, remedy=_NO_STYLE_REMEDY) if config.stylizes or request.styles else ()
    if config.stylizes:
        _check_sizes(styles, config, size)
        _check_trainable(styles, config)
    timeline = timeline_of(styles, clip)
    for note in timeline_warnings(styles, timeline, clip, start, end):
        on_event(Warned(note))
    masks: tuple[Mask, ...] = ()
    if config.stylizes:
        masks = find_masks(config, timeline, clip, start=start, end=end, size=size, on_event=on_event)
    check_masks_decode(masks if source.is_new else (), start, end)
    weights = find_weights(config, on_event=on_event) if config.stylizes else None
    raft = read_raft(config, on_event=on_event) if config.stylizes else None
    network = read_network(styles, config) if config.stylizes else None
    check_spared(request, (*inputs, *_files_read(clip, styles, masks, weights)))
    features = load_weights(weights, config) if weights is not None and config.model.weights is not None else None
    if on_usable is not None:
        on_usable(request, end - start)
    if weights is not None and features is None:
        features = load_weights(weights, config)
    marks = (mask_marks(masks), key_marks(keys))
    manifest = build_manifest(request, clip, styles, marks, weights, features, raft, network, sound)
    check_digests(request.digests, manifest.look)
    return CheckedRequest(
        request, clip, start, end, *size, styles, features, raft, network, manifest, timeline, masks, fates, keys, sound
    )


def _files_read(
    clip: ClipInfo, styles: Sequence[StylePicture], masks: Sequence[Mask], weights: Path | Literal["random"] | None
) -> Iterator[Path]:
    """Yield the files that have turned out to be those of the clip, the styles, the masks and the weights."""
    yield from clip.paths
    for style in styles:
        yield from style.clip.paths if style.clip else (style.path,)
    for mask in masks:
        yield from mask.clip.paths
    if isinstance(weights, Path):
        yield weights


@dataclass(frozen=True, slots=True)
class _Source:
    """A source that has been probed and found to decode, and the range and size that are rendered."""

    clip: ClipInfo
    start: int
    end: int
    size: tuple[int, int]
    """Width and height in pixels, before registration crops."""
    is_new: bool
    """False if there is a run already, which has checked single pictures."""


def _check_source(request: Request, on_event: OnEvent) -> _Source:
    """Probe the source, find range and size, and make sure that all frames decode.

    Raises:
        VidnstError: the first thing that is wrong, as the fitting subclass.
    """
    config = request.config
    check_transform(config.input.transform)
    on_event(Stage("probing"))
    clip = probe_input(request.source, config.input)
    for note in clip.notes:
        on_event(Warned(note))
    start, end = frame_range(clip, config.input.start, config.input.end)
    is_new = not holds_run(request.folder)  # an earlier session has decoded the pictures already
    if is_new:
        clip = with_bad_pictures(clip, start, end, on_event)
    check_frames_decode(clip, start, end, config.input, on_event)
    width, height = fit_size(clip.width, clip.height, config.input.size)
    if config.input.size is not None and config.input.size > max(clip.width, clip.height):
        note = f"{clip.source} is not enlarged to size {config.input.size}; it is rendered at {width}x{height}"
        on_event(Warned(note))
    if config.input.crops:  # to even sides, even if there is nothing to crop
        width, height = max(2, width // 2 * 2), max(2, height // 2 * 2)
    return _Source(clip, start, end, (width, height), is_new)


def _find_fates(
    request: Request, resolved: ResolvedOutput, source: _Source, on_event: OnEvent, *, frames_only: bool
) -> tuple[FateRow, ...]:
    """Find out and report what the output will not keep of the source; without an output, what painting will not.

    Raises:
        OutputError: there is such a thing, and the settings are strict.
        SourceError: an EXR or DPX file of the range does not decode, and is not to be repeated.
    """
    clip, start, end = source.clip, source.start, source.end
    damaged = request.config.input.on_bad_frame == "repeat"

    def report(done: int) -> None:
        on_event(Stage("probing", done, end - start))

    if frames_only:
        for note in notable(find_scene_fates(clip, start, end, may_be_damaged=damaged, on_progress=report)):
            on_event(Warned(note))
        return ()
    fates = find_fates(
        request.output,
        resolved,
        clip,
        start=start,
        end=end,
        size=source.size,
        restyled_after=style_name(request.config),
        may_be_damaged=damaged,
        on_progress=report,
    )
    if resolved.settings.strict:
        check_strict(fates, str(request.output))
    for note in (*resolved.notes, *notable(fates)):
        on_event(Warned(note))
    return fates


def with_file_bits(request: Request) -> Request:
    """Return the request with frames of 16 bits if its output is an EXR file or a sequence of them."""
    config = request.config
    if request.output.suffix.lower() != ".exr" or config.output.bits == 16:
        return request
    output = config.output.model_copy(update={"bits": 16})
    return replace(request, config=config.model_copy(update={"output": output}))


def study_frames(
    checked: CheckedRequest, shots: Sequence[Shot], on_event: OnEvent = ignore, cancelled: Cancelled | None = None
) -> Adjustments:
    """Look at all frames to find the gains and homographies that remove flicker and shaking.

    Raises:
        CancelledError: `cancelled` said so.
    """

    def report(done: int) -> None:
        if cancelled and cancelled():
            raise CancelledError("stopped while the frames were studied")
        on_event(Stage("studying", done, checked.frames))

    adjustments = find_adjustments(checked.clip, shots, checked.config.input, on_progress=report)
    if lost := adjustments.unregistered:
        named = ", ".join(map(str, lost[:8])) + (", ..." if len(lost) > 8 else "")
        on_event(
            Warned(
                f"{len(lost)} of {checked.frames} frames cannot be registered ({named}): too little texture, or too far"
                " from the middle of the shot; each is moved like its nearest registered neighbour"
            )
        )
    return adjustments


def _check_sizes(styles: Sequence[StylePicture], config: RenderConfig, size: tuple[int, int]) -> None:
    least = stride_px(last_layer(config))
    shapes = [(style.pixels.shape[0], style.pixels.shape[1]) for style in styles]
    check_scales(shapes, config.styles, height=size[1], width=size[0], smallest_side_px=least)
    check_edge_cells(config.losses, height=size[1], width=size[0])


def _check_trainable(styles: Sequence[StylePicture], config: RenderConfig) -> None:
    """Make sure that a network can learn the styles.

    Raises:
        ConfigError: one of them is a clip.
    """
    if config.schedule.kind == "network" and any(style.clip is not None for style in styles):
        raise ConfigError(
            "a style that is a clip changes from frame to frame, and a network learns one picture of each style",
            "use a picture, or --schedule keys",
        )
