"""Checks before rendering that the output can be written."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from vidnst.config import OutputConfig
from vidnst.errors import EncoderError, OutputError, OutputExistsError
from vidnst.frames import ClipInfo, SourceKind
from vidnst.media import ffmpeg
from vidnst.media.images import not_an_image_name
from vidnst.media.input.container import ContainerInfo, read_container
from vidnst.media.input.image_files import WRITABLE_SUFFIXES
from vidnst.media.output import audio
from vidnst.media.output.animation_times import shown_frames_note
from vidnst.media.output.audio_plan import plan_audio
from vidnst.media.output.codecs import CODECS, HARDWARE_QUALITY
from vidnst.media.output.formats import OutputFormat, OutputKind, choose_format
from vidnst.media.output.frame_sequence import check_sequence, sequence_files
from vidnst.media.output.name_limits import check_name_length
from vidnst.media.output.spared_inputs import check_spares_inputs
from vidnst.media.output.timecode import output_timecode

_LONGEST_SIDES = {"libx264": 16384, "libwebp": 16383, "libwebp_anim": 16383, "gif": 65535}
"""Longest side in pixels that an encoder or its format supports."""
_SHORTEST_SIDES = {"libx265": 16, "libsvtav1": 16}
"""Shortest side in pixels: below, x265 refuses, and SVT-AV1 writes outside of its memory."""


def check_output(
    output: Path,
    settings: OutputConfig,
    *,
    clip: ClipInfo,
    start: int = 0,
    end: int | None = None,
    overwrite: bool = False,
    size: tuple[int, int] | None = None,
    inputs: Sequence[str | Path] = (),
) -> tuple[str, ...]:
    """Check, before anything is rendered, that the output can be written.

    Args:
        start, end: the frames to be rendered.
        overwrite: True to allow replacing an existing output.
        size: width and height of the rendered frames; None is the clip's size.
        inputs: further files and folders that are read, besides those of the clip.

    Returns:
        What the output will lack, as sentences without a full stop.

    Raises:
        OutputError: the output exists, is the source, cannot be written, or its suffix does not fit the codec.
        EncoderError: ffmpeg lacks the encoder, or the machine its hardware.
        ConfigError: the codec does not support the settings.
    """
    stop = clip.frame_count if end is None else end
    width, height = size or (clip.width, clip.height)
    target = choose_format(output, settings, frames=stop - start, width=width, height=height)
    longest = _LONGEST_SIDES.get(target.encoder, max(width, height))
    if max(width, height) > longest:
        raise OutputError(
            f"{output.name} cannot have {width}x{height} pixels: {target.encoder} supports {longest} per side",
            f"render smaller, with --size {longest}, or choose another format",
        )
    if min(width, height) < _SHORTEST_SIDES.get(target.encoder, 1):
        raise OutputError(
            f"{output.name} cannot have {width}x{height} pixels: {target.encoder} needs"
            f" {_SHORTEST_SIDES[target.encoder]} per side",
            "render larger, or choose another codec",
        )
    if files := sequence_files(output, settings, clip=clip, start=start, end=stop):
        check_folder_of(output)
        check_sequence(output, files, overwrite=overwrite, inputs=(*clip.paths, *inputs))
        return ()
    check_file(output, overwrite=overwrite, inputs=(*clip.paths, *inputs), folder=target.kind is OutputKind.FOLDER)
    source = read_container(clip.paths[0]) if clip.kind is SourceKind.VIDEO else None
    if target.encoder:
        _check_encoders(target, source, settings)
    notes: list[str] = []
    if source and audio.keeps_audio(target, settings):
        notes += plan_audio(clip.paths[0], source, target.suffix, joined=clip.parts > 1).notes
    _, timecode_note = output_timecode(source, target, clip, start=start)
    times = clip.pts_seconds[start:stop], clip.frame_duration_seconds(stop - 1)
    return (*notes, *filter(None, (timecode_note, shown_frames_note(output, target.codec, *times))))


def check_file(
    output: Path, *, overwrite: bool = False, inputs: Sequence[str | Path] = (), folder: bool = False
) -> None:
    """Check that an output (a video, a sheet, a report, an image) can be written.

    Args:
        overwrite: True to allow replacing an existing output.
        inputs: files and folders that are read: none may be replaced, and no folder of pictures may get one more.
        folder: True if the output is a folder of frames.

    Raises:
        OutputError: the output exists, is an input or a folder, would become a picture of one, or cannot be written.
    """
    check_name_length(output)
    check_spares_inputs([output], inputs, joins=True)
    if output.is_dir() and not folder:
        raise OutputError(f"{output} is a folder", "choose another name")
    if output.exists():
        if not overwrite:
            raise OutputExistsError(f"{output} exists already", "choose another name, or replace it with --overwrite")
        if folder:
            check_replaceable(output)
    check_folder_of(output)


def check_folder_of(output: Path) -> None:
    """Raise OutputError if the folder of an output does not exist, or cannot be written."""
    parent = output.absolute().parent
    if not parent.is_dir():
        raise OutputError(f"the folder {parent} of {output.name} does not exist", "create it, or choose another")
    try:
        with tempfile.TemporaryFile(dir=parent):
            pass
    except OSError as error:
        raise OutputError(f"cannot write in {parent}: {error.strerror}", "choose another folder") from error


def check_image_name(output: Path) -> None:
    """Raise OutputError unless a name is that of an image."""
    if output.suffix.lower() not in WRITABLE_SUFFIXES:
        raise not_an_image_name(output)


def check_replaceable(folder: Path) -> None:
    """Raise OutputError unless a folder contains only frames of an earlier render."""
    if not folder.is_dir():
        raise OutputError(f"{folder} is a file, not a folder for PNG frames", "choose another name")
    others = [path.name for path in folder.iterdir() if not (path.suffix == ".png" and path.stem.isdecimal())]
    if others:
        raise OutputError(f"{folder} contains other files than frames: {sorted(others)[0]}", "choose another name")


def _check_encoders(target: OutputFormat, source: ContainerInfo | None, settings: OutputConfig) -> None:
    available = ffmpeg.encoders()
    encoders = [target.encoder]
    if source and audio.keeps_audio(target, settings):
        encoders += [audio.encoder_for(target.suffix, stream) for stream in source.audio]
    for encoder in encoders:
        if encoder != "copy" and encoder not in available:
            raise _missing_encoder(encoder, available)
    if target.hardware != "none":
        _try_hardware(target)


def _try_hardware(target: OutputFormat) -> None:
    """Encode a few grey frames: ffmpeg may have a hardware encoder whose hardware the machine lacks."""
    args = [*target.device_options, "-f", "lavfi", "-i", "color=gray:size=256x256:rate=25", "-frames:v", "3"]
    filters = ",".join([f"format={target.pixel_format}", *target.device_filters])
    try:
        ffmpeg.run([*args, "-vf", filters, "-c:v", target.encoder, *target.options, "-f", "null", "-"])
    except EncoderError as error:
        raise EncoderError(
            f"{target.encoder} does not work on this machine: {error.what}", "set output.hardware to none"
        ) from error


def _missing_encoder(encoder: str, available: frozenset[str]) -> EncoderError:
    """Return the error for an encoder that this ffmpeg does not have."""
    usable = sorted(codec.encoder for codec in CODECS.values() if codec.encoder in available)
    hardware = sorted(name for name in available if name.endswith(tuple(f"_{kind}" for kind in HARDWARE_QUALITY)))
    return EncoderError(
        f"this ffmpeg has no encoder {encoder}",
        f"choose another codec; available are {', '.join(usable + hardware) or 'none'}",
    )
