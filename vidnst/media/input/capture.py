"""The choice of a video's decoder: OpenCV's, or libav's where OpenCV's would lose something."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Literal, Protocol, TypeAlias, cast

from vidnst.frames import WHITE, AlphaPlane, ClipInfo, Decoder, HdrInfo, Pixels, Rgb, SourceKind
from vidnst.media.input.container import ContainerInfo, read_container
from vidnst.media.input.deep_capture import DeepCapture
from vidnst.media.input.hdr import HLG, PQ
from vidnst.media.input.scan import find_scan
from vidnst.media.input.video_capture import VideoCapture

Deinterlace: TypeAlias = Literal["auto", "off", "frame", "field"]


class Capture(Protocol):
    """A decoder that reads a video forward; `VideoCapture` documents the methods."""

    def grab(self) -> bool:
        """Advance to the next frame that decodes; False at the end."""

    def retrieve(self) -> Pixels | None:
        """Return the grabbed frame as `(H, W, 3)` RGB, upright; None if it cannot be decoded."""

    def alpha(self) -> AlphaPlane | None:
        """Return the alpha of the grabbed frame, `(H, W)`, upright; None if it has none."""

    @property
    def seconds(self) -> float:
        """Time stamp of the grabbed frame on the decoder's clock, which starts with the stream."""

    def ticks(self, tick_seconds: Fraction) -> int:
        """Return `seconds` in ticks of the file's clock."""

    def seek(self, frame: int) -> bool:
        """Seek to near `frame`."""

    def close(self) -> None:
        """Free the decoder."""


_USUAL_PEAK_NITS = 1000.0
"""Peak of HDR that does not tell its own, and of HLG on the display that BT.2100 assumes."""
_ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
"""Decoders that read the alpha of WebM, which lies in an extra block of each packet; ffmpeg's own ones drop it."""


def choose_decoder(path: Path, info: ContainerInfo, deinterlace: Deinterlace = "off") -> Decoder:
    """Choose OpenCV's decoder, or libav's for more than 8 bits, HDR, interlaced frames, and what may be transparent.

    libav's also makes frames progressive: `auto` does so for a video that is interlaced (`find_scan`), `frame` and
    `field` for any.
    """
    may_be_transparent = info.video.has_alpha or info.pixel_format == "pal8"
    interlaced, top_first = find_scan(path, info) if deinterlace != "off" else (False, None)
    mode = ("frame" if interlaced else "off") if deinterlace == "auto" else deinterlace
    is_plain = info.video.bit_depth <= 8 and not may_be_transparent and read_hdr(info) is None
    # OpenCV 4.14 returns memory that nobody wrote for interlaced frames: its swscale refuses to convert them.
    if mode == "off" and is_plain and not info.video.is_interlaced:
        return Decoder()
    name = _ALPHA_DECODERS.get(info.video_codec, "") if info.video.has_alpha else ""
    if mode == "off":
        return Decoder("libav", info.video_index, name)
    return Decoder("libav", info.video_index, name, mode, top_first)


def read_hdr(info: ContainerInfo) -> HdrInfo | None:
    """Return what makes a video HDR, as its headers tell; None for SDR."""
    video = info.video
    transfer = video.colour_transfer
    if transfer != PQ and transfer != HLG:
        return None
    display, light = video.mastering_display, video.content_light
    least = display.min_luminance if display and display.min_luminance is not None else Fraction(0)
    most = display.max_luminance if display and display.max_luminance else Fraction(_USUAL_PEAK_NITS)
    most = min(max(most, Fraction(100)), Fraction(10_000))
    return HdrInfo(
        transfer=cast(Literal["smpte2084", "arib-std-b67"], transfer),
        peak_nits=float(most) if transfer == PQ else _USUAL_PEAK_NITS,
        wide=video.colour_primaries != "bt709",
        primaries=display.primaries if display else None,
        min_luminance=least,
        max_luminance=most,
        content_light=(light.max_content, light.max_frame_average) if light else None,
    )


def open_file(
    path: Path,
    decoder: Decoder,
    *,
    orientation: int,
    background: Rgb = WHITE,
    hdr: HdrInfo | None = None,
) -> Capture:
    """Open a file whose header `read_container` has checked.

    Args:
        decoder: of `choose_decoder`.
        orientation: EXIF's number of what makes frames upright.
        background: the colour that transparent pixels are laid over.
        hdr: what makes the video HDR, so that it is tone-mapped.

    Raises:
        SourceError: it cannot be opened.
    """
    if decoder.library == "opencv":
        return VideoCapture(path, orientation=orientation)
    return DeepCapture(
        path,
        stream=decoder.stream,
        decoder=decoder.name,
        deinterlace=decoder.deinterlace,
        top_field_first=decoder.top_field_first,
        orientation=orientation,
        background=background,
        hdr=hdr,
    )


def as_shown(clip: ClipInfo) -> ClipInfo:
    """Return a clip that decodes as players show it: coarser chroma is interpolated.

    OpenCV's decoder repeats each sample of chroma, so that the edges of colours jump by two pixels as they move.
    Sources are read so; where the steadiness of a file is measured, it would count for more than the encoder. Files
    whose frames are counted by the stamps that OpenCV gives them are left as they are.
    """
    if clip.kind is not SourceKind.VIDEO or clip.decoder.library != "opencv":
        return clip
    if clip.parts > 1 or clip.decoder_seconds or clip.bad_frames:
        return clip
    return replace(clip, decoder=Decoder("libav", read_container(clip.paths[0]).video_index))


def open_capture(clip: ClipInfo) -> Capture:
    """Open a video with the decoder that probed it.

    Raises:
        SourceError: the file cannot be opened.
    """
    path, orientation = clip.paths[0], clip.orientation
    return open_file(path, clip.decoder, orientation=orientation, background=clip.background, hdr=clip.hdr)
