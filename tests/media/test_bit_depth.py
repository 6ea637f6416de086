"""More than 8 bits per channel: read as stored, coded where the codec can, and named where it cannot."""

import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from support import media

from vidnst.config import OutputConfig
from vidnst.errors import ConfigError, SourceError
from vidnst.frames import to_bits
from vidnst.media.input.capture import open_capture
from vidnst.media.input.deep_capture import DeepCapture
from vidnst.media.input.frame_reader import FrameReader
from vidnst.media.input.probe import probe
from vidnst.media.input.video_pixels import PictureHeader
from vidnst.media.input.yuv import LUMA_SHARES
from vidnst.media.output.bit_depth import resolve_bits
from vidnst.media.output.formats import choose_format

SIZE = (64, 32)
FORMULA_LEVELS = {False: (64, 876, 896), True: (0, 1023, 1023)}
"""Black, range of luma and range of chroma of 10-bit codes, limited and full."""


def write_planes(path: Path, planes: list[NDArray[np.uint16]], *options: str, frames: int = 1) -> Path:
    """Write a 4:4:4 video of three planes of 10-bit codes, losslessly."""
    data = b"".join(plane.astype("<u2").tobytes() for plane in planes) * frames
    raw = (
        "-f",
        "rawvideo",
        "-color_range",
        "pc" if "pc" in options[-1] else "tv",
        "-pix_fmt",
        "yuv444p10le",
        "-s",
        f"{planes[0].shape[1]}x{planes[0].shape[0]}",
        "-r",
        "10",
    )
    media.run_ffmpeg(*raw, "-i", "pipe:0", "-c:v", "ffv1", "-pix_fmt", "yuv444p10le", *options, path, data=data)
    return path


def ten_bit_clip(path: Path, *, frames: int = 4) -> Path:
    """Write a grey ramp of 10-bit levels, four codes for each of 8 bits."""
    luma = np.tile(np.linspace(200, 700, 96 * 64).reshape(64, 96), 1).astype(np.uint16)
    grey = np.full_like(luma, 512)
    return write_planes(
        path, [luma, grey, grey], "-vf", "setparams=colorspace=bt709", "-color_range", "tv", frames=frames
    )


def codes_of(path: Path) -> NDArray[np.uint16]:
    """Read the luma codes of the first frame of a planar video."""
    with av.open(path) as container:
        frame = next(container.decode(video=0))
        return np.frombuffer(frame.planes[0], np.uint16).reshape(frame.height, -1)[:, : frame.width]


def pixel_format(path: Path) -> str:
    with av.open(path) as container:
        return str(container.streams.video[0].codec_context.pix_fmt)


@pytest.mark.parametrize("matrix", ["bt709", "smpte170m", "bt2020nc", "bt2020c", "smpte240m"])
@pytest.mark.parametrize("full", [False, True])
def test_ten_bit_colours_are_read_by_the_formula(tmp_path: Path, matrix: str, full: bool) -> None:
    red, blue = LUMA_SHARES[matrix]
    black, luma_range, chroma_range = FORMULA_LEVELS[full]
    colours = np.random.default_rng(5).uniform(0.1, 0.9, (8, 3))
    luma = colours @ (red, 1 - red - blue, blue)
    cb = (colours[:, 2] - luma) / (2 * (1 - blue))
    cr = (colours[:, 0] - luma) / (2 * (1 - red))
    codes = [black + luma_range * luma, 512 + chroma_range * cb, 512 + chroma_range * cr]
    planes = [np.repeat(np.rint(code), 8)[None].repeat(32, 0).astype(np.uint16) for code in codes]
    tags = ("-vf", f"setparams=colorspace={matrix}", "-color_range", "pc" if full else "tv")
    pixels = FrameReader(probe(write_planes(tmp_path / "c.mkv", planes, *tags))).read(0).pixels
    assert pixels.dtype == np.uint16
    # Each code is off by at most half a level, and a colour is a sum of three.
    assert np.abs(pixels[16, 4::8] / 65535 - colours).max() < 1.5 / luma_range


def test_ten_bit_levels_survive_reading(tmp_path: Path) -> None:
    clip = probe(ten_bit_clip(tmp_path / "s.mkv"))
    assert (clip.stored_bits, clip.bit_depth, clip.decoder.library) == (10, 16, "libav")
    assert len(np.unique(FrameReader(clip).read(0).pixels)) == 501


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_ten_bit_video_is_upright(tmp_path: Path, rotation: int) -> None:
    codec = ("-c:v", "libx265", "-x265-params", "log-level=error", "-pix_fmt", "yuv420p10le", "-crf", "8")
    plain = media.write_video(tmp_path / "s.mp4", media.numbered_pictures(3), codec=codec)
    turned = tmp_path / "r.mp4"
    media.run_ffmpeg("-display_rotation", str(rotation), "-i", plain, "-c", "copy", turned)
    clip = probe(turned)
    wanted = np.rot90(media.numbered_picture(0), rotation // 90)
    pixels = FrameReader(clip).read(0).pixels
    assert (clip.height, clip.width) == pixels.shape[:2] == wanted.shape[:2]
    assert np.abs(to_bits(pixels, 8).astype(float) - wanted).mean() < 3


def test_seeking_in_ten_bits_finds_the_frame(tmp_path: Path) -> None:
    codec = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p10le", "-g", "50")
    clip = probe(media.write_video(tmp_path / "s.mkv", media.numbered_pictures(420), codec=codec))
    assert clip.decoder.library == "libav"
    with FrameReader(clip) as reader:
        assert [media.read_index(reader.read(index).pixels) for index in (3, 390, 391, 419)] == [3, 390, 391, 419]


def test_uneven_times_of_ten_bits_are_kept(tmp_path: Path) -> None:
    codec = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p10le")
    pictures = media.numbered_pictures(8)
    clip = probe(media.write_video(tmp_path / "s.mkv", pictures, codec=codec, pts_seconds=media.UNEVEN_PTS))
    assert clip.variable_rate
    assert [at - clip.pts_seconds[0] for at in clip.pts_seconds] == list(media.UNEVEN_PTS)


DEEP = {
    "o.mp4": ("h265", "yuv420p10le"),
    "p.mp4": ("h264", "yuv420p10le"),
    "o.mkv": ("av1", "yuv420p10le"),
    "o.webm": ("vp9", "yuv420p10le"),
    "o.mov": ("prores", "yuv422p10le"),
    "p.mkv": ("ffv1", "gbrp10le"),
}


@pytest.mark.parametrize("name", DEEP)
def test_ten_bits_stay_ten_bits(tmp_path: Path, transcode: Callable, name: str) -> None:
    codec, expected = DEEP[name]
    quality = {} if codec in ("prores", "ffv1") else {"quality": 4}
    source = ten_bit_clip(tmp_path / "s.mkv")
    trip = transcode(source, name, bits=10 if codec == "h264" else "auto", codec=codec, **quality)
    assert pixel_format(trip.output) == expected
    found = FrameReader(probe(trip.output)).read(0).pixels.astype(float)
    wanted = FrameReader(trip.clip).read(0).pixels
    assert np.abs(found - wanted).mean() < 65535 / 876  # one level
    assert abs((found - wanted).mean()) < 65535 / 876 / 4


def test_ramp_keeps_its_codes_in_lossless_yuv(tmp_path: Path, transcode: Callable) -> None:
    source = ten_bit_clip(tmp_path / "s.mkv")
    trip = transcode(source, "o.mkv", bits="auto", chroma="444")
    assert np.array_equal(codes_of(trip.output), codes_of(source))


def resolved(path: Path, name: str, **settings: Any) -> tuple[OutputConfig, str]:
    return resolve_bits(Path(name), OutputConfig(**settings), probe(path), frames=4, size=(96, 64))


@pytest.mark.parametrize(
    ("name", "settings", "bits", "words"),
    [
        ("o.mp4", {"codec": "h265"}, 10, ""),
        ("o.mp4", {}, 8, "to 8 bits, which all players show; --bits 10 keeps them, .mov (prores) and"),
        ("o.gif", {}, 8, "to 8 bits, the most that gif has; .mov (prores)"),
        ("o.webp", {}, 8, "to 8 bits, the most that libwebp has; "),
        ("o.apng", {}, 16, ""),
        ("frames", {}, 16, ""),
        ("o.mov", {}, 10, ""),
        ("o.mp4", {"hardware": "nvenc", "codec": "h265"}, 8, "--bits 10 asks"),
        ("o.gif", {"bits": 8}, 8, "to 8 bits"),
        ("o.mp4", {"bits": "most"}, 8, "to 8 bits"),
        ("o.mkv", {"bits": "most"}, 16, ""),
    ],
)
def test_bits_of_a_ten_bit_source(tmp_path: Path, name: str, settings: dict[str, Any], bits: int, words: str) -> None:
    config, notes = resolved(ten_bit_clip(tmp_path / "s.mkv"), name, **settings)
    assert config.bits == bits
    assert config.picture_bits == (8 if bits == 8 else 16)
    assert words in notes
    assert bool(words) == bool(notes)


@pytest.mark.parametrize("name", ["o.mp4", "o.mov", "o.mkv", "o.gif", "frames", "o.apng", "o.webm"])
def test_eight_bits_stay_eight_bits(tmp_path: Path, name: str) -> None:
    config, notes = resolved(media.write_video(tmp_path / "s.mp4", media.numbered_pictures(2)), name)
    assert (config.bits, notes) == (8, "")


def test_sixteen_bit_pictures_keep_what_the_codec_has(tmp_path: Path) -> None:
    media.write_pictures(tmp_path / "p", [to_bits(media.numbered_picture(0), 16)] * 2)
    assert resolved(tmp_path / "p", "frames")[0].bits == 16
    config, notes = resolved(tmp_path / "p", "o.mp4", codec="h265")
    assert config.bits == 12
    assert notes == "to 12 bits, the most that libx265 has; .mkv (ffv1) and a folder of PNG frames keep up to 16"
    assert "to 8 bits, which all players show; --bits 10 keeps more" in resolved(tmp_path / "p", "o.mp4")[1]
    assert "to 8 bits, the most that .jpg has; " in resolved(tmp_path / "p", "o_%d.jpg")[1]


@pytest.mark.parametrize(
    ("name", "settings", "words"),
    [
        ("o.mp4", {"bits": 16}, "h264 has 8 or 10 bits, not 16"),
        ("o.mp4", {"bits": 12, "codec": "av1"}, "av1 has 8 or 10 bits"),
        ("o.mov", {"bits": 12}, "prores has 10 bits"),
        ("o.gif", {"bits": 10}, "gif has 8 bits"),
        ("frames", {"bits": 10}, "png has 8 or 16 bits"),
        ("o.mp4", {"bits": 10, "hardware": "nvenc"}, "h264 nvenc has 8 bits"),
        ("o.mp4", {"bits": 10, "hardware": "nvenc", "codec": "h265", "chroma": "444"}, "420 only"),
    ],
)
def test_impossible_bits_are_refused(name: str, settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        choose_format(Path(name), OutputConfig(**settings), frames=2, width=96, height=64)


def test_a_jpeg_has_eight_bits() -> None:
    with pytest.raises(ConfigError, match="jpg has 8 bits"):
        choose_format(Path("o.jpg"), OutputConfig(bits=16), frames=1, width=96, height=64)


def test_damaged_ten_bit_frames_are_counted(tmp_path: Path) -> None:
    codec = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p10le", "-g", "1")
    path = media.write_video(tmp_path / "s.mkv", media.numbered_pictures(12), codec=codec)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 400] = bytes(400)
    path.write_bytes(data)
    clip = probe(path)
    with FrameReader(clip, on_bad_frame="repeat") as reader:
        assert len(list(reader)) == clip.frame_count


def test_a_decoder_that_dies_ends_in_one_error(tmp_path: Path) -> None:
    capture = open_capture(probe(ten_bit_clip(tmp_path / "s.mkv")))
    assert isinstance(capture, DeepCapture)
    assert capture.grab()
    capture._process.kill()
    with pytest.raises(SourceError, match="its decoder stopped"):
        capture.grab()
    capture.close()


def test_a_reader_that_is_dropped_ends_its_decoder(tmp_path: Path) -> None:
    capture = open_capture(probe(ten_bit_clip(tmp_path / "s.mkv")))
    assert isinstance(capture, DeepCapture)
    process = capture._process
    del capture
    gc.collect()
    assert process.returncode is not None


@pytest.mark.parametrize("answer", [{}, {"width": 1 << 20, "height": 1 << 20}, {"width": 4, "line_bytes": [1 << 40]}])
def test_senseless_pictures_are_refused(answer: dict[str, Any]) -> None:
    usual = {"kind": "yuv", "width": 4, "height": 2, "bits": 10, "alpha": False, "line_bytes": [8, 8, 8]}
    usual |= {"matrix": 1, "primaries": 1, "full_range": False}
    with pytest.raises((ValueError, KeyError)):
        PictureHeader.parse(usual | answer if answer else {})
