"""Probing: what a source contains, determined by decoding it once from end to end."""

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from vidnst.config import InputConfig
from vidnst.errors import SourceError
from vidnst.frames import WHITE, ChromaSteps, ClipInfo, Decoder, Rgb, SourceKind
from vidnst.media import ffmpeg
from vidnst.media.input.capture import Deinterlace, choose_decoder, open_file, read_hdr
from vidnst.media.input.capture_order import PictureOrder, arrange_named
from vidnst.media.input.container import INPUT_OPTIONS, ContainerInfo, read_container
from vidnst.media.input.decoded_timing import time_frames
from vidnst.media.input.early_end import damage_notes
from vidnst.media.input.fields import of_fields, with_double_rate
from vidnst.media.input.frame_numbers import Missing, NumberedImages, NumberPattern, number_images
from vidnst.media.input.image_files import list_images
from vidnst.media.input.image_header import is_still, read_image_header
from vidnst.media.input.limits import check_animation, check_frame_count
from vidnst.media.input.packet_times import read_packet_times, size_error
from vidnst.media.input.picture_probe import probe_images, probe_pictures
from vidnst.media.input.stream_facts import VideoStream
from vidnst.media.orientation import swaps_sides

_ANIMATIONS = frozenset({"gif", "apng"})


def probe(
    source: str | Path | Sequence[str | Path],
    *,
    fps: Fraction = Fraction(25),
    order: PictureOrder = "auto",
    background: Rgb = WHITE,
    missing: Missing = "error",
    transform: str = "auto",
    deinterlace: Deinterlace = "off",
    on_progress: Callable[[int], None] | None = None,
) -> ClipInfo:
    """Decode every frame of a video or an animation, or read every image's header, and describe the source.

    Args:
        source: a video, an image, a folder, a glob, a pattern (`img_%04d.png`, `img.####.exr`), or several images.
        fps: frames per second of images, and of the pages of a TIFF file.
        order: order of images; see `PictureOrder`.
        background: the colour that transparent pixels are laid over when frames are read.
        missing: what becomes of missing numbers of a pattern.
        transform: what turns the values of EXR and DPX files into display values when frames are read.
        deinterlace: how interlaced frames are made progressive: see `input.deinterlace`.
        on_progress: called regularly with the number of frames probed so far.

    Raises:
        SourceError: the source is missing, not decodable, empty, of mixed sizes, or several videos.
    """
    clip = _probe(source, fps=fps, order=order, missing=missing, deinterlace=deinterlace, on_progress=on_progress)
    return replace(clip, background=background, transform=transform)


def probe_input(source: str | Path | Sequence[str | Path], settings: InputConfig) -> ClipInfo:
    """Probe a source as the settings of a render say: see `probe`."""
    return probe(
        source,
        fps=settings.fps,
        order=settings.order,
        background=settings.background_rgb,
        missing=settings.missing,
        transform=settings.transform,
        deinterlace=settings.deinterlace,
    )


def _probe(
    source: str | Path | Sequence[str | Path],
    *,
    fps: Fraction,
    order: PictureOrder,
    missing: Missing,
    deinterlace: Deinterlace,
    on_progress: Callable[[int], None] | None,
) -> ClipInfo:
    parts = [source] if isinstance(source, str | Path) else list(source)
    if len(parts) != 1:
        return _probe_named(parts, fps=fps, order=order, missing=missing, on_progress=on_progress)
    image_paths = list_images(parts[0], gaps=True)
    path = Path(parts[0]).expanduser()
    if image_paths is None:
        if not _is_picture(path):
            return probe_video(path, deinterlace=deinterlace, on_progress=on_progress)
        image_paths = (path,)
    numbered = NumberedImages(image_paths)
    if order != "time":
        is_pattern = not path.exists() and NumberPattern.parse(path) is not None
        numbered = number_images(image_paths, missing=missing, source=str(parts[0]), is_pattern=is_pattern)
    clip = probe_pictures(numbered.paths, name=str(parts[0]), fps=fps, order=order, on_progress=on_progress)
    return _with_numbers(clip, numbered)


def _with_numbers(clip: ClipInfo, numbered: NumberedImages) -> ClipInfo:
    numbers = numbered.numbers if clip.kind is SourceKind.PICTURES else ()
    return replace(clip, numbers=numbers, notes=(*clip.notes, *numbered.notes))


def _is_picture(path: Path) -> bool:
    """Return whether a file without the suffix of an image is one: HEIC, AVIF, or a PNG called `.apng`.

    OpenCV's ffmpeg reads PNG animations, too, but with 8 bits, without transparency and without the last duration.
    """
    if is_still(path):
        return True
    if path.suffix.lower() != ".apng":
        return False
    try:
        return read_image_header(path).format == "PNG"
    except SourceError:
        return False


def _probe_named(
    parts: Sequence[str | Path],
    *,
    fps: Fraction,
    order: PictureOrder,
    missing: Missing,
    on_progress: Callable[[int], None] | None,
) -> ClipInfo:
    """Probe files, folders and globs that were named one by one."""
    if not parts:
        raise SourceError("no source was given", "give a video or images")
    paths: list[Path] = []
    for part in parts:
        found = list_images(part, gaps=True)
        if found is None:
            raise SourceError(f"{part} is not an image", "give one video, or several images")
        paths += found
        check_frame_count(str(part), len(paths))
    name = f"{parts[0]} and {len(parts) - 1} more"
    paths, note = arrange_named(paths, order)
    numbered = NumberedImages(tuple(paths))
    if order != "time":
        numbered = number_images(paths, missing=missing, source=name, is_pattern=False)
    clip = probe_images(numbered.paths, name=name, fps=fps, order=order, on_progress=on_progress)
    clip = _with_numbers(clip, numbered)
    return replace(clip, notes=(note, *clip.notes)) if note else clip


def probe_video(
    path: Path, *, deinterlace: Deinterlace = "off", on_progress: Callable[[int], None] | None = None
) -> ClipInfo:
    """Decode a video from end to end and compare its frames with the time stamps of its packets.

    With `deinterlace` field, the clip has a frame for each field.

    Raises:
        SourceError: the file is missing, not a video, or nothing in it decodes.
    """
    info = read_container(path)
    packet_times = read_packet_times(path, info)
    if info.container in _ANIMATIONS:
        check_animation(str(path), len(packet_times.pts), info.width, info.height)
    if packet_times.has_fields:  # though the first frame may be progressive
        info = replace(info, video=replace(info.video, is_interlaced=True))
    decoder = choose_decoder(path, info, deinterlace)
    if decoder.deinterlace == "field" and packet_times.offsets:
        # Where a clock jumps, nothing tells when second fields are shown.
        decoder = replace(decoder, deinterlace="frame")
    if decoder.deinterlace == "field":
        packet_times, info = of_fields(packet_times), with_double_rate(info)
    decoded = _decode_all(path, info, decoder, packet_times.time_base, on_progress)
    hdr = read_hdr(info)
    is_plain = hdr is None and info.video.bit_depth <= 8 and not info.video.is_interlaced
    if is_plain and not decoded.has_alpha and decoder.library != "opencv" and decoder.deinterlace == "off":
        decoder = Decoder()  # all is opaque: nothing to lose
        decoded = _decode_all(path, info, decoder, packet_times.time_base, on_progress)
    if decoder.library == "opencv" and packet_times.pts and len(decoded.ticks) != len(packet_times.pts):
        decoder, decoded = _prefer_libav(path, info, decoded, packet_times.time_base, on_progress)
    timing = time_frames(
        decoded.ticks,
        packet_times,
        info,
        name=path.name,
        reports_errors=lambda: _reports_errors(path, info),
    )
    return ClipInfo(
        source=str(path),
        kind=SourceKind.VIDEO,
        paths=(path,),
        width=decoded.width,
        height=decoded.height,
        rate=timing.rate,
        pts_seconds=timing.pts_seconds,
        last_duration_seconds=timing.last_duration_seconds,
        variable_rate=timing.variable,
        bit_depth=decoded.bit_depth,
        video_codec=info.video_codec,
        pixel_format=info.pixel_format,
        colour_matrix=info.colour_matrix,
        colour_range=info.colour_range,
        rotation_degrees=info.rotation_degrees,
        orientation=info.video.orientation,
        audio_codec=info.audio[0].codec if info.audio else None,
        bad_frames=timing.bad,
        decoder_seconds=timing.decoder_seconds,
        parts=max(1, len(packet_times.offsets)),
        notes=(*timing.notes, *damage_notes(path, info, packet_times)),
        stored_bits=max(8, min(16, info.video.bit_depth)),
        chroma=_upright(info.video),
        plays=read_image_header(path).plays if info.container in _ANIMATIONS else None,
        decoder=decoder,
        hdr=hdr,
        has_alpha=decoded.has_alpha,
    )


def _upright(video: VideoStream) -> ChromaSteps | None:
    """Return the chroma subsampling of upright frames: what is stored across is shown down if frames are turned."""
    if video.chroma is None or not swaps_sides(video.orientation):
        return video.chroma
    across, down = video.chroma
    return down, across


@dataclass(frozen=True, slots=True)
class _DecodedFrames:
    """The decoded frames of a video."""

    ticks: list[int]
    """Time stamps on the decoder's clock, which starts with the stream."""
    width: int
    """Upright."""
    height: int
    """Upright."""
    bit_depth: int
    has_alpha: bool = False


def _decode_all(
    path: Path,
    info: ContainerInfo,
    decoder: Decoder,
    tick_seconds: Fraction,
    on_progress: Callable[[int], None] | None,
) -> _DecodedFrames:
    ticks: list[int] = []
    has_alpha = False
    depth = 8
    width, height = info.width, info.height
    if swaps_sides(info.video.orientation):
        width, height = height, width
    with closing(open_file(path, decoder, orientation=info.video.orientation, hdr=read_hdr(info))) as capture:
        while capture.grab():
            if not ticks:
                pixels = capture.retrieve()
                if pixels is None:
                    break
                if pixels.shape[:2] != (height, width):
                    raise size_error(path, (pixels.shape[1], pixels.shape[0]), (width, height))
                depth = pixels.itemsize * 8
            ticks.append(capture.ticks(tick_seconds))
            check_frame_count(str(path), len(ticks))
            if not has_alpha and (alpha := capture.alpha()) is not None:
                has_alpha = bool(alpha.min() < np.iinfo(alpha.dtype).max)
            if on_progress and len(ticks) % 100 == 0:
                on_progress(len(ticks))
    if not ticks:
        raise SourceError(f"no frame of {path} decodes", "check the file, or convert it to H.264")
    return _DecodedFrames(ticks, width, height, depth, has_alpha)


def _prefer_libav(
    path: Path,
    info: ContainerInfo,
    decoded: _DecodedFrames,
    tick_seconds: Fraction,
    on_progress: Callable[[int], None] | None,
) -> tuple[Decoder, _DecodedFrames]:
    """Return libav's decoder if it delivers frames that OpenCV's does not, else OpenCV's, each with its frames.

    Where packets and frames are not as many, hidden packets are a reason, and so are frames that OpenCV drops.
    """
    other = Decoder("libav", info.video_index)
    try:
        found = _decode_all(path, info, other, tick_seconds, on_progress)
    except SourceError:
        return Decoder(), decoded
    return (other, found) if len(found.ticks) > len(decoded.ticks) else (Decoder(), decoded)


def _reports_errors(path: Path, info: ContainerInfo) -> bool:
    """Return whether ffmpeg reports errors when it decodes the video."""
    args = ["-loglevel", "error", *INPUT_OPTIONS, "-i", ffmpeg.file_url(path)]
    _, _, errors = ffmpeg.run_and_capture([*args, "-map", f"0:{info.video_index}", "-f", "null", "-"])
    return bool(errors.strip())
