"""Colours of the output: the conversion from RGB, and the tags that tell players how to show them."""

from vidnst.frames import ClipInfo
from vidnst.media.input.stream_facts import VideoStream
from vidnst.media.output.formats import OutputFormat, OutputKind

_HIGH_DEFINITION_LINES = 576
_SDR_MATRICES = frozenset({"bt709", "smpte170m", "bt470bg"})
_HDR_TRANSFERS = frozenset({"smpte2084", "arib-std-b67", "smpte428", "linear", "log100", "log316"})
"""Transfers that are not true of frames that were painted as SDR."""
_SCALER = "accurate_rnd+full_chroma_int+full_chroma_inp"


def colour_filters(target: OutputFormat, clip: ClipInfo, source: VideoStream | None, *, height: int) -> list[str]:
    """Return ffmpeg's filters that convert RGB frames to the output's pixel format and tag them.

    The source's primaries and transfer stay, since painting does not convert them; what it does not tell follows from
    the matrix.

    Args:
        source: the video that the frames come from; None for images.
        height: of the output, in pixels.
    """
    filters = [f"format={target.pixel_format}"]
    primaries, transfer = kept_tags(source)
    if target.yuv:
        matrix = output_matrix(clip, height)
        # Players assume BT.709 for untagged HD while ffmpeg converts with BT.601; `-colorspace` alone leaves primaries
        # and transfer unknown.
        filters = [f"scale=out_color_matrix={matrix}:out_range=tv:flags={_SCALER}", *filters]
        usual = "bt709" if matrix == "bt709" else "smpte170m"
        tags = f"color_primaries={primaries or matrix}:color_trc={transfer or usual}"
        return [*filters, f"setparams=colorspace={matrix}:{tags}:range=tv"]
    told = [f"color_primaries={primaries}"] * bool(primaries) + [f"color_trc={transfer}"] * bool(transfer)
    if told and target.kind is OutputKind.VIDEO:
        filters += [f"setparams={':'.join(told)}"]
    return filters


def kept_tags(source: VideoStream | None) -> tuple[str | None, str | None]:
    """Return the primaries and the transfer that the source tells, if it is SDR."""
    if source is None or source.colour_transfer in _HDR_TRANSFERS:
        return None, None
    return source.colour_primaries, source.colour_transfer


def output_matrix(clip: ClipInfo, height: int) -> str:
    """Return the YUV matrix of an output: the source's if it is one of SDR, else the default for `height`.

    Frames are RGB, converted from the source's matrix (BT.601 if untagged, as OpenCV does).
    """
    if clip.colour_matrix in _SDR_MATRICES:
        return str(clip.colour_matrix)
    return "bt709" if height >= _HIGH_DEFINITION_LINES else "smpte170m"
