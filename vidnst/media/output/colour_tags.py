"""Colours of the output: the conversion from RGB, and the tags that tell players how to show them."""

from vidnst.frames import ClipInfo, HdrInfo
from vidnst.media import ffmpeg
from vidnst.media.input.stream_facts import VideoStream
from vidnst.media.output.formats import OutputFormat, OutputKind

_HIGH_DEFINITION_LINES = 576
_SDR_MATRICES = frozenset({"bt709", "smpte170m", "bt470bg"})
_HDR_TRANSFERS = frozenset({"smpte2084", "arib-std-b67", "smpte428", "linear", "log100", "log316"})
"""Transfers that are not true of frames that were painted as SDR."""
_ZIMG_MATRICES = {"bt709": "709", "smpte170m": "170m", "bt470bg": "470bg", "bt2020nc": "2020_ncl"}
_SCALER = "accurate_rnd+full_chroma_int+full_chroma_inp"


def colour_filters(
    target: OutputFormat,
    clip: ClipInfo,
    source: VideoStream | None,
    *,
    size: tuple[int, int],
    deep: bool = False,
    hdr: HdrInfo | None = None,
) -> list[str]:
    """Return ffmpeg's filters that convert RGB frames to the output's pixel format and tag them.

    The source's primaries and transfer stay, since painting does not convert them; what it does not tell follows from
    the matrix.

    Args:
        source: the video that the frames come from; None for images.
        size: width and height of the output in pixels.
        deep: True if the frames have 16 bits.
        hdr: the HDR that the frames were mapped back to; None for SDR.
    """
    filters = [f"format={target.pixel_format}"]
    primaries, transfer = kept_tags(source) if hdr is None else ("bt2020" if hdr.wide else "bt709", hdr.transfer)
    if target.yuv:
        matrix = "bt2020nc" if hdr else output_matrix(clip, size[1])
        # Players assume BT.709 for untagged HD while ffmpeg converts with BT.601; `-colorspace` alone leaves primaries
        # and transfer unknown.
        filters = [*_rgb_to_yuv(target, matrix, size, deep=deep), *filters]
        usual = "bt709" if matrix == "bt709" else "smpte170m"
        tags = f"color_primaries={primaries or matrix}:color_trc={transfer or usual}"
        return [*filters, f"setparams=colorspace={matrix}:{tags}:range=tv"]
    told = [f"color_primaries={primaries}"] * bool(primaries) + [f"color_trc={transfer}"] * bool(transfer)
    if told and target.kind is OutputKind.VIDEO:
        filters += [f"setparams={':'.join(told)}"]
    return filters


def _rgb_to_yuv(target: OutputFormat, matrix: str, size: tuple[int, int], *, deep: bool) -> list[str]:
    """Return the filters from RGB to YUV: zimg's for 16-bit frames, which swscale lightens by 2/1023."""
    is_subsampled = "444" not in target.pixel_format
    is_odd = bool(size[0] % 2 or size[1] % 2)  # zimg subsamples even sides only
    if not deep or (is_subsampled and is_odd) or not ffmpeg.has_filter("zscale"):
        name = matrix.removesuffix("nc")  # swscale's name of BT.2020's
        return [f"scale=out_color_matrix={name}:out_range=tv:flags={_SCALER}"]
    planes = "gbrap16le" if target.alpha else "gbrp16le"
    return [f"format={planes}", f"zscale=matrix={_ZIMG_MATRICES[matrix]}:range=limited:filter=bicubic"]


def kept_tags(source: VideoStream | None) -> tuple[str | None, str | None]:
    """Return the primaries and the transfer that the source tells, if it is SDR."""
    if source is None or source.colour_transfer in _HDR_TRANSFERS:
        return None, None
    return source.colour_primaries, source.colour_transfer


def output_matrix(clip: ClipInfo, height: int) -> str:
    """Return the YUV matrix of an output: the source's if it is one of SDR, else the default for `height`.

    Frames are RGB, converted from the source's matrix (BT.601 if untagged, as OpenCV does).
    """
    if clip.hdr is not None:  # tone-mapped, with primaries of BT.709
        return "bt709"
    if clip.colour_matrix in _SDR_MATRICES:
        return str(clip.colour_matrix)
    return "bt709" if height >= _HIGH_DEFINITION_LINES else "smpte170m"
