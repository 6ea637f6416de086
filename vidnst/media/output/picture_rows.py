"""What becomes of the properties of a source's pictures: size, orientation, times, bits, colours, transparency."""

from collections.abc import Iterator, Mapping
from fractions import Fraction
from types import MappingProxyType

from vidnst.frames import ClipInfo, SourceKind
from vidnst.media.input.stream_facts import VideoStream
from vidnst.media.orientation import clockwise_degrees, is_mirrored
from vidnst.media.output.animation_times import shown_frames_note
from vidnst.media.output.chroma import chroma_name
from vidnst.media.output.colour_tags import kept_tags, output_matrix
from vidnst.media.output.fates import Fate, FateRow, shown
from vidnst.media.output.formats import OutputFormat, OutputKind
from vidnst.media.output.kept_streams import name_of
from vidnst.media.output.resolved_output import ResolvedOutput

_SIDE_DATA: Mapping[str, str] = MappingProxyType(
    {
        "A53_CC": "closed captions",
        "SPHERICAL": "spherical projection",
        "STEREO3D": "stereoscopic layout",
        "DOVI_METADATA": "Dolby Vision",
        "DOVI_RPU_BUFFER": "Dolby Vision",
        "DYNAMIC_HDR_PLUS": "HDR10+",
        "DYNAMIC_HDR_VIVID": "HDR Vivid",
        "ICC_PROFILE": "ICC profile",
        "AFD": "active format description",
        "S12M_TIMECODE": "time code of each frame",
        "FILM_GRAIN_PARAMS": "film grain",
        "EXIF": "EXIF",
    }
)
"""Names for users of what comes with frames; the rest is of use to decoders only."""
_PLAIN_PRIMARIES = frozenset({None, "bt709", "smpte170m", "bt470bg"})
"""Primaries close to those of sRGB."""
_GIF_TICK = Fraction(1, 100)
_MILLISECOND = Fraction(1, 1000)
_MOST_NAMED = 4


def size_row(clip: ClipInfo, size: tuple[int, int]) -> FateRow:
    """Return the row of the size, upright; settings ask for any other size."""
    value = f"{clip.width}x{clip.height}"
    if size == (clip.width, clip.height):
        return FateRow("size", value, Fate.KEPT)
    return FateRow("size", value, Fate.CHANGED, f"to {size[0]}x{size[1]}", asked=True)


def orientation_row(orientation: int) -> FateRow | None:
    """Return the row of an EXIF orientation; None if frames are stored upright."""
    if orientation == 1:
        return None
    parts = ["mirrored"] if is_mirrored(orientation) else []
    if degrees := clockwise_degrees(orientation):
        parts.append(f"turned by {degrees} degrees")
    return FateRow("orientation", ", ".join(parts), Fate.KEPT, "frames are upright")


def times_row(clip: ClipInfo, target: OutputFormat, *, start: int, end: int) -> FateRow:
    """Return the row of the frame rate or of varying time stamps of the frames `start <= index < end`."""
    value = "time stamps vary" if clip.variable_rate else f"{float(clip.rate):.6g} frames per second"
    if target.kind is OutputKind.IMAGE or clip.frame_count == 1:
        return FateRow("times", value, Fate.DROPPED, "the output is one picture", asked=True)
    if target.kind in (OutputKind.FOLDER, OutputKind.SEQUENCE):
        why = "numbered pictures have no times"
        return FateRow("times", value, Fate.DROPPED, why, asked=not clip.variable_rate)
    times = clip.pts_seconds[start:end], clip.frame_duration_seconds(end - 1)
    if note := shown_frames_note(target.path, target.codec, *times):
        return FateRow("times", value, Fate.CHANGED, note)
    if target.codec == "gif" and any(pts % _GIF_TICK for pts in _distances(clip)):
        return FateRow("times", value, Fate.CHANGED, "rounded to hundredths of a second")
    # Matroska has a constant rate in its header, which players take.
    is_rounded = target.codec == "webp" or (target.suffix in (".mkv", ".webm") and clip.variable_rate)
    if is_rounded and any(pts % _MILLISECOND for pts in _distances(clip)):
        return FateRow("times", value, Fate.CHANGED, "rounded to milliseconds")
    return FateRow("times", value, Fate.KEPT)


def _distances(clip: ClipInfo) -> Iterator[Fraction]:
    return (pts - clip.pts_seconds[0] for pts in clip.pts_seconds)


def repeat_row(clip: ClipInfo, target: OutputFormat) -> FateRow | None:
    """Return the row of how often an animation is shown; None for other sources."""
    if clip.plays is None or clip.frame_count == 1:
        return None
    value = {0: "for ever", 1: "once"}.get(clip.plays, f"{clip.plays} times")
    if target.kind is OutputKind.ANIMATION or (clip.plays == 1 and target.kind is OutputKind.VIDEO):
        return FateRow("repetitions", value, Fate.KEPT)
    return FateRow("repetitions", value, Fate.DROPPED, f"{name_of(target)} are not repeated", asked=True)


def palette_row(target: OutputFormat) -> FateRow | None:
    """Return the row of the number of colours; None if the output has as many as there are."""
    if target.codec != "gif":
        return None
    return FateRow("colours in a frame", "", Fate.CHANGED, "to the 256 that fit all frames best")


def damage_row(clip: ClipInfo, start: int, end: int) -> FateRow | None:
    """Return the row of frames of a range that do not decode; None if all do."""
    bad = [index for index in clip.bad_frames if start <= index < end]
    if not bad:
        return None
    named = [clip.paths[index].name if clip.kind is SourceKind.PICTURES else str(index) for index in bad]
    listed = ", ".join(named[:_MOST_NAMED]) + (f" and {len(bad) - _MOST_NAMED} more" if len(bad) > _MOST_NAMED else "")
    how = "each shows the frame before it, with --on-bad-frame repeat; else nothing is painted"
    return FateRow("damaged frames", shown(listed), Fate.CHANGED, how, asked=True)


def aspect_row(aspect: Fraction, target: OutputFormat) -> FateRow | None:
    """Return the row of pixels that are not square; None if they are."""
    if aspect == 1:
        return None
    value = f"{aspect.numerator}:{aspect.denominator}"
    if target.kind is OutputKind.VIDEO or target.codec == "apng":
        return FateRow("pixel aspect", value, Fate.KEPT)
    return FateRow("pixel aspect", value, Fate.DROPPED, "pictures are shown with square pixels; they look distorted")


def bits_row(clip: ClipInfo, resolved: ResolvedOutput) -> FateRow:
    """Return the row of the bits per channel."""
    value = f"{clip.stored_bits} bits"
    if resolved.bits:
        return FateRow(
            "bit depth", value, Fate.CHANGED, resolved.bits, asked=resolved.given.bits == resolved.settings.bits
        )
    return FateRow("bit depth", value, Fate.KEPT)


def chroma_row(clip: ClipInfo, resolved: ResolvedOutput) -> FateRow:
    """Return the row of the chroma subsampling."""
    value = chroma_name(clip.chroma)
    if resolved.chroma:
        return FateRow("chroma", value, Fate.CHANGED, resolved.chroma, asked=resolved.given.chroma != "auto")
    return FateRow("chroma", value, Fate.KEPT)


def range_row(video: VideoStream, target: OutputFormat) -> FateRow | None:
    """Return the row of YUV codes of the full range; None for those of the limited range, which is the usual one."""
    is_yuv = video.pixel_format.startswith(("yuv", "nv", "p0", "gray"))
    if not is_yuv or (video.colour_range != "pc" and not video.pixel_format.startswith("yuvj")):
        return None
    if target.yuv:
        return FateRow("colour range", "full", Fate.CHANGED, "to limited, which players expect")
    return FateRow("colour range", "full", Fate.KEPT)


def colour_rows(
    clip: ClipInfo, video: VideoStream, target: OutputFormat, resolved: ResolvedOutput, *, height: int
) -> Iterator[FateRow]:
    """Yield the rows of colour tags, HDR and what comes with single frames; `height` is that of the output."""
    told = (video.colour_primaries, video.colour_transfer, video.colour_matrix)
    keeps_hdr = clip.hdr is not None and resolved.settings.hdr == "keep"
    if any(told):
        primaries, transfer = kept_tags(video)
        value = "/".join(part or "-" for part in told)
        if target.kind is not OutputKind.VIDEO:
            is_plain = told[0] in _PLAIN_PRIMARIES and clip.hdr is None
            how = "taken for sRGB, as all pictures are"
            yield FateRow("colours", value, Fate.KEPT if is_plain else Fate.CHANGED, how)
        elif keeps_hdr:
            yield FateRow("colours", value, Fate.KEPT)
        elif (primaries, transfer) != told[:2]:
            how = "converted to BT.709, and tagged so" if clip.hdr else "taken for SDR, and tagged so"
            yield FateRow("colours", value, Fate.CHANGED, how)
        elif target.yuv and video.colour_matrix not in (None, matrix := output_matrix(clip, height)):
            yield FateRow("colours", value, Fate.KEPT, f"converted to the matrix {matrix}")
        else:
            yield FateRow("colours", value, Fate.KEPT)
    if video.mastering_display or video.content_light or clip.hdr:
        kinds = [str(video.colour_transfer)] * bool(clip.hdr) + ["mastering display"] * bool(video.mastering_display)
        kinds += ["content light level"] * bool(video.content_light)
        how = resolved.hdr or "it describes HDR, which this is not"
        yield FateRow("HDR", ", ".join(kinds), Fate.KEPT if keeps_hdr else Fate.CHANGED, how)
    for name in dict.fromkeys(_SIDE_DATA[part] for part in sorted(video.side_data) if part in _SIDE_DATA):
        yield FateRow(name, "", Fate.DROPPED, "frames are painted and coded again, without it")


def alpha_row(clip: ClipInfo, resolved: ResolvedOutput) -> FateRow | None:
    """Return the row of transparency; None if the source has none."""
    if not clip.has_alpha:
        return None
    if not resolved.alpha:
        return FateRow("transparency", "", Fate.KEPT)
    fate = Fate.CHANGED if resolved.settings.keeps_alpha else Fate.DROPPED
    return FateRow("transparency", "", fate, resolved.alpha, asked=resolved.given.alpha == "drop")


def interlacing_row(video: VideoStream, deinterlace: str = "off") -> FateRow:
    """Return the row of how frames were scanned.

    Args:
        video: the source's video.
        deinterlace: `off`, `frame` or `field`: what is done with its fields.
    """
    if not video.is_interlaced and deinterlace == "off":
        return FateRow("scan", "progressive", Fate.KEPT)
    order = {"tt": ", top field first", "bb": ", bottom field first"}.get(video.field_order or "", "")
    how = {
        "frame": "to one progressive picture for each frame",
        "field": "to a progressive picture for each field, at twice the rate",
    }.get(deinterlace, "both fields are painted as one progressive frame")
    return FateRow("scan", f"interlaced{order}", Fate.CHANGED, how)
