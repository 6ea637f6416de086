"""Sources that hold all kinds of things, and what an output really holds of them.

It is read with PyAV, Pillow, OpenCV and OpenEXR alone.
"""

import struct
from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import OpenEXR
from PIL import Image, JpegImagePlugin

from support import exr, media
from vidnst.config import OutputConfig, RenderConfig
from vidnst.frames import AlphaPlane, ClipInfo
from vidnst.media.images import write_png
from vidnst.media.input.alpha import AlphaPlanes
from vidnst.media.input.frame_reader import FrameReader
from vidnst.media.input.probe import probe
from vidnst.media.output.encode import encode
from vidnst.media.output.fates import FateRow
from vidnst.media.output.output_fates import find_fates
from vidnst.media.output.resolved_output import resolve_output

SIZE = (64, 48)
FRAMES = 6
SOURCES = ("film", "phone", "HDR", "alpha", "studio", "EXR")
OUTPUTS = (
    *("o.mp4", "o.m4v", "o.mov", "o.mkv", "o.webm", "o.gif", "o.webp", "o.apng", "frames"),
    *("o_%02d.exr", "o_%02d.png", "o_%02d.tif", "o_%02d.jpg", "o_%02d.webp"),
)
UNEVEN = tuple(Fraction(ms, 1000) for ms in (0, 40, 133, 200, 207, 300))
"""Times that GIF cannot hold."""
NO_CHROMA = (64, 64)
"""Steps between samples of the chroma of grey pictures, so wide that nothing can be lost."""
TIMECODE = "01:02:03:04"

ROWS: Mapping[str, Sequence[str]] = {
    "bits": ["bit depth"],
    "alpha": ["transparency"],
    "chroma": ["chroma"],
    "light": ["values over white"],
    "sound": ["audio track 1", "audio track 2"],
    "subtitles": ["subtitles 1"],
    "chapters": ["chapters"],
    "timecode": ["time code"],
    "upright": ["orientation"],
    "times": ["times"],
    "aspect": ["pixel aspect"],
    "HDR": ["HDR"],
    "title": ["tags"],
}
"""Rows of the table that are about a feature, by the names that `read_features` gives."""

_SRT = "1\n00:00:00,050 --> 00:00:00,150\nhello\n"
_TAGS = """;FFMETADATA1
title=Film
[CHAPTER]
TIMEBASE=1/1000
START=0
END=100
title=A
[CHAPTER]
TIMEBASE=1/1000
START=100
END=240
title=B
"""
_SOUND = ("-c:a", "aac", "-b:a", "64k")
_MIRRORED_AND_TURNED = (0, 1 << 16, 1 << 16, 0)


def write_sources(folder: Path) -> dict[str, Path]:
    """Write small sources, each with several features."""
    return {
        "film": _write_film(folder),
        "phone": _write_phone(folder),
        "HDR": _write_hdr(folder),
        "alpha": _write_alpha(folder),
        "studio": _write_studio(folder),
        "EXR": _write_exr(folder),
    }


def _write_film(folder: Path) -> Path:
    flat = media.write_video(folder / "flat.mp4", media.numbered_pictures(FRAMES, SIZE), sound=_SOUND)
    (folder / "s.srt").write_text(_SRT)
    (folder / "m.txt").write_text(_TAGS)
    words = ["-i", flat, "-i", folder / "s.srt", "-i", folder / "m.txt", "-map", "0:v", "-map", "0:a", "-map", "0:a"]
    words += ["-map", "1", "-map_metadata", "2", "-map_chapters", "2", "-c", "copy", "-c:s", "srt", "-aspect", "16:9"]
    words += ["-metadata:s:s:0", "language=eng", "-metadata:s:a:1", "language=fra"]
    media.run_ffmpeg(*words, folder / "film.mkv")
    return folder / "film.mkv"


def _write_phone(folder: Path) -> Path:
    """An MP4 file that is stored transposed, with a time code."""
    frames = [np.ascontiguousarray(frame.swapaxes(0, 1)) for frame in media.numbered_pictures(FRAMES, SIZE)]
    path = media.write_video(folder / "phone.mov", frames, options=("-timecode", TIMECODE), sound=_SOUND)
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40
    a, b, c, d = _MIRRORED_AND_TURNED
    data[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    return path


def _write_hdr(folder: Path) -> Path:
    tags = "colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc:hdr10=1:max-cll=1000,400:log-level=error"
    tags += ":master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1)"
    codec = ("-c:v", "libx265", "-preset", "ultrafast", "-pix_fmt", "yuv420p10le", "-x265-params", tags)
    options = ("-color_primaries", "bt2020", "-color_trc", "smpte2084", "-colorspace", "bt2020nc")
    frames = media.numbered_pictures(FRAMES, SIZE)
    return media.write_video(folder / "hdr.mkv", frames, codec=codec, pts_seconds=UNEVEN, options=options)


def _write_alpha(folder: Path) -> Path:
    path = folder / "alpha.mov"
    flat = media.write_video(folder / "opaque.mkv", media.numbered_pictures(FRAMES, SIZE), codec=media.FFV1)
    see_through = "format=rgba,colorchannelmixer=aa=0.5"
    media.run_ffmpeg("-i", flat, "-vf", see_through, "-c:v", "png", "-pix_fmt", "rgba", path)
    return path


def _write_studio(folder: Path) -> Path:
    """Ten bits of full chroma."""
    path = folder / "studio.mkv"
    flat = media.write_video(folder / "plain.mkv", media.numbered_pictures(FRAMES, SIZE), codec=media.FFV1)
    media.run_ffmpeg("-i", flat, "-vf", "scale=flags=accurate_rnd", "-pix_fmt", "yuv444p10le", "-c:v", "ffv1", path)
    return path


def _write_exr(folder: Path) -> Path:
    """Linear light with premultiplied alpha, part of it over white."""
    for number, picture in enumerate(media.numbered_pictures(FRAMES, SIZE)):
        values = exr.from_pixels(picture)
        values[20:24, 20:30] = 3
        alpha = np.ones((*values.shape[:2], 1), np.float16)
        alpha[10:20, 30:40] = 0.5
        planes = {"RGBA": np.concatenate([values * alpha, alpha], axis=2)}
        exr.write_exr(folder / "exr" / f"a_{number:02d}.exr", planes)
    return folder / "exr" / "a_%02d.exr"


def convert(source: Path, output: Path, folder: Path, **settings: Any) -> tuple[ClipInfo, tuple[FateRow, ...]]:
    """Pass all frames of a source through the encoder as they are; return the clip and the table.

    Args:
        folder: an empty one for finished frames.
        settings: those of the output.
    """
    clip = probe(source)
    size = clip.width, clip.height
    config = RenderConfig(output=OutputConfig(**settings))
    resolved = resolve_output(output, config, clip, frames=clip.frame_count, size=size)
    encoding = resolved.settings
    rows = find_fates(output, resolved, clip, start=0, end=clip.frame_count, size=size)
    paths = []
    for frame in FrameReader(clip):
        paths.append(folder / f"{frame.index:06d}.png")
        write_png(paths[-1], frame.pixels, bits=encoding.picture_bits)
    alpha = _alpha_planes(clip) if encoding.keeps_alpha else None
    encode(paths, output, clip=clip, start=0, end=clip.frame_count, settings=encoding, alpha=alpha)
    return clip, rows


def table(source: Path, output: Path) -> tuple[ClipInfo, tuple[FateRow, ...]]:
    """Return a clip and the table of an output that is not written."""
    clip = probe(source)
    size = clip.width, clip.height
    resolved = resolve_output(output, RenderConfig(), clip, frames=clip.frame_count, size=size)
    return clip, find_fates(output, resolved, clip, start=0, end=clip.frame_count, size=size, may_be_damaged=True)


def _alpha_planes(clip: ClipInfo) -> AlphaPlanes:
    def read() -> Generator[AlphaPlane, None, None]:
        for frame in FrameReader(replace(clip, plane="alpha")):
            yield frame.pixels[..., 0]

    return read


def read_features(path: Path) -> dict[str, object]:
    """Read what a file, a folder of PNG files, or the first one of numbered files really holds."""
    if "%" in path.name:
        first = path.with_name(path.name % 0)
        return _exr_features(first) if path.suffix == ".exr" else _file_features(first)
    if path.is_dir():
        return _file_features(sorted(path.glob("*.png"))[0])
    found = _picture_features(path) if path.suffix in (".webp", ".gif", ".apng") else _video_features(path)
    return found if path.suffix == ".webp" else found | _stream_features(path)


def _file_features(path: Path) -> dict[str, object]:
    pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert pixels is not None
    found: dict[str, object] = {"bits": pixels.itemsize * 8, "alpha": pixels.shape[2] == 4, "chroma": (1, 1)}
    shown = pixels[..., 2::-1] if pixels.itemsize == 1 else (pixels[..., 2::-1] >> 8).astype(np.uint8)
    found["upright"] = media.is_upright(np.ascontiguousarray(shown))
    if path.suffix == ".webp" and b"VP8 " in path.read_bytes():
        found["chroma"] = (2, 2)
    if path.suffix == ".jpg":
        with Image.open(path) as image:
            found["chroma"] = ((1, 1), (2, 1), (2, 2))[JpegImagePlugin.get_sampling(image)]
    return found


def _exr_features(path: Path) -> dict[str, object]:
    channels = OpenEXR.File(str(path)).channels()
    [(name, channel)] = channels.items()
    shown = exr.to_display(np.clip(channel.pixels[..., :3].astype(np.float64), 0, 1))
    return {
        "bits": channel.pixels.itemsize * 8,
        "alpha": name == "RGBA",
        "chroma": (1, 1),
        "light": bool(channel.pixels.max() > 2),
        "upright": media.is_upright(np.rint(shown * 255).astype(np.uint8)),
    }


def _picture_features(path: Path) -> dict[str, object]:
    with Image.open(path) as image:
        alphas, durations = [], []
        for number in range(image.n_frames):
            image.seek(number)
            image.load()
            alphas.append(int(np.asarray(image.convert("RGBA"))[..., 3].min()))
            durations.append(Fraction(round(image.info["duration"] * 1000), 1_000_000))
        upright = media.is_upright(np.asarray(image.convert("RGB")))
    times = tuple(sum(durations[:number], Fraction(0)) for number in range(len(durations)))
    depth = path.read_bytes()[24] if path.suffix == ".apng" else 8  # of IHDR
    chroma = (2, 2) if b"VP8 " in path.read_bytes() else (1, 1)
    return {"bits": depth, "alpha": min(alphas) < 255, "upright": upright, "times": times, "chroma": chroma}


def _video_features(path: Path) -> dict[str, object]:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = list(container.decode(stream))
        first = frames[0]
        components = first.format.components
        bits = max(part.bits for part in components)
        has_alpha = any(part.is_alpha for part in components) or "alpha_mode" in stream.metadata
        side_data = {entry.type.name for entry in first.side_data}
        upright = media.is_upright(first.to_ndarray(format="rgb24")) and "DISPLAYMATRIX" not in side_data
        times = tuple((frame.pts - first.pts) * frame.time_base for frame in frames)
        is_hdr = first.color_trc == 16 and "MASTERING_DISPLAY_METADATA" in side_data
    is_grey = sum(not part.is_alpha for part in components) < 3 and not first.format.has_palette
    steps = (64 // first.format.chroma_width(64), 64 // first.format.chroma_height(64))
    chroma = NO_CHROMA if is_grey else steps
    return {"bits": bits, "alpha": has_alpha, "upright": upright, "times": times, "HDR": is_hdr, "chroma": chroma}


def _stream_features(path: Path) -> dict[str, object]:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        next(container.decode(stream))
        tags = {key.lower(): value for part in (container, *container.streams) for key, value in part.metadata.items()}
        found: dict[str, object] = {
            "aspect": stream.sample_aspect_ratio or stream.codec_context.sample_aspect_ratio or Fraction(1),
            "sound": [part.metadata.get("language", "") for part in container.streams.audio],
            "chapters": [chapter["metadata"]["title"] for chapter in container.chapters()],
            "timecode": tags.get("timecode"),
            "title": container.metadata.get("title"),
        }
        texts = [bytes(packet) for part in container.streams.subtitles for packet in _packets(path, part.index)]
    return found | {"subtitles": any(b"hello" in text for text in texts)}


def _packets(path: Path, index: int) -> list[av.Packet]:
    with av.open(str(path)) as container:
        return list(container.demux(container.streams[index]))


def features_of(name: str) -> dict[str, object]:
    """Return the features of a source that are worth keeping, as `read_features` finds them in a faithful output."""
    even = tuple(Fraction(number, 25) for number in range(FRAMES))
    common: dict[str, object] = {"upright": True, "times": even, "bits": 8, "chroma": (2, 2)}
    if name == "film":
        aspect = Fraction(16, 9) / Fraction(*SIZE)
        chapters = ["A", "B"]
        film = {"aspect": aspect, "sound": 2, "subtitles": True, "chapters": chapters, "title": "Film"}
        return common | film
    if name == "phone":
        return common | {"timecode": TIMECODE, "sound": 1}
    if name == "HDR":
        # Corners of other colours do not tell which way is up.
        return {"bits": 10, "HDR": True, "times": UNEVEN, "chroma": (2, 2)}
    if name == "studio":
        return common | {"bits": 10, "chroma": (1, 1)}
    if name == "EXR":
        return {"upright": True, "bits": 16, "alpha": True, "chroma": (1, 1), "light": True}
    return {"times": even, "bits": 8, "alpha": True, "chroma": (1, 1)}  # nor do corners over a background


def is_kept(feature: str, wanted: object, found: Mapping[str, object]) -> bool:
    """Return whether a feature of the source is in the output."""
    value = found.get(feature)
    match feature:
        case "sound":
            return isinstance(value, list) and len(value) == wanted
        case "aspect":  # Matroska has it as a size in whole pixels
            return isinstance(value, Fraction) and isinstance(wanted, Fraction) and abs(value / wanted - 1) < 0.01
        case "bits":
            return isinstance(value, int) and isinstance(wanted, int) and value >= wanted
        case "chroma":
            return (
                isinstance(value, tuple)
                and isinstance(wanted, tuple)
                and value[0] <= wanted[0]
                and value[1] <= wanted[1]
            )
        case "times":
            pairs = zip(value, wanted, strict=True) if isinstance(value, tuple) and isinstance(wanted, tuple) else ()
            differences = [abs(one - other) for one, other in pairs]
            return bool(differences) and max(differences) <= Fraction(1, 1000)
    return value == wanted
