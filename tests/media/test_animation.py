"""Animated pictures are clips: WebP, PNG, GIF and AVIF with their own durations, and TIFF files with pages."""

import struct
import zlib
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support import media, stills

from vidnst.errors import BadFrameError, SourceError
from vidnst.frames import Shot, SourceKind
from vidnst.media import images
from vidnst.media.input import limits
from vidnst.media.input.animation import AnimationReader
from vidnst.media.input.frame_cache import FrameCache
from vidnst.media.input.frame_reader import FrameReader
from vidnst.media.input.image_header import read_image_header
from vidnst.media.input.probe import probe
from vidnst.media.input.quick_frame import read_quick_frame
from vidnst.media.input.shots import find_shots

DELAYS_MS = [40, 120, 70, 40, 300, 90]
KINDS = [("a.webp", "WEBP", {"lossless": True}), ("a.png", "PNG", {}), ("b.png", "GIF", {}), ("a.avif", "AVIF", {})]


def frames_of(path: Path, **options: Any) -> list[np.ndarray]:
    return [frame.pixels for frame in FrameReader(probe(path, **options))]


def indices_of(path: Path) -> list[int]:
    return [media.read_index(pixels) for pixels in frames_of(path)]


@pytest.mark.parametrize(("name", "kind", "options"), KINDS)
def test_frames_and_durations_of_animations(tmp_path: Path, name: str, kind: str, options: dict[str, Any]) -> None:
    path = stills.write_animation(
        tmp_path / name, media.numbered_pictures(6), kind, duration=DELAYS_MS, loop=0, **options
    )
    clip = probe(path)
    assert (clip.kind, clip.frame_count, clip.video_codec) == (SourceKind.ANIMATION, 6, kind.lower())
    assert clip.variable_rate
    found = [clip.frame_duration_seconds(index) * 1000 for index in range(6)]
    assert found == DELAYS_MS
    assert indices_of(path) == list(range(6))


@pytest.mark.parametrize(("name", "kind", "options"), KINDS)
def test_even_durations_are_a_constant_rate(tmp_path: Path, name: str, kind: str, options: dict[str, Any]) -> None:
    path = stills.write_animation(tmp_path / name, media.numbered_pictures(5), kind, duration=40, **options)
    clip = probe(path)
    assert (clip.rate, clip.variable_rate, clip.last_duration_seconds) == (25, False, Fraction(1, 25))


def test_long_last_frame_is_kept(tmp_path: Path) -> None:
    path = stills.write_animation(tmp_path / "a.png", media.numbered_pictures(3), "PNG", duration=[40, 40, 2000])
    clip = probe(path)
    assert clip.variable_rate
    assert clip.last_duration_seconds == 2
    assert clip.duration_seconds == Fraction(208, 100)


@pytest.mark.parametrize(("kind", "ms", "seconds"), [("GIF", 0, (1, 10)), ("GIF", 10, (1, 10)), ("GIF", 20, (1, 50))])
def test_shortest_delays_of_gif_are_shown_as_in_browsers(
    tmp_path: Path, kind: str, ms: int, seconds: tuple[int, int]
) -> None:
    path = stills.write_animation(tmp_path / "a.png", media.numbered_pictures(3), kind, duration=ms)
    assert probe(path).frame_duration_seconds(1) == Fraction(*seconds)


@pytest.mark.parametrize(("name", "kind", "options"), KINDS)
def test_single_frames_stay_pictures(tmp_path: Path, name: str, kind: str, options: dict[str, Any]) -> None:
    Image.fromarray(media.numbered_picture(3)).save(tmp_path / name, kind, **options)
    clip = probe(tmp_path / name)
    assert (clip.kind, clip.frame_count) == (SourceKind.PICTURES, 1)
    assert media.read_index(FrameReader(clip).read(0).pixels) == 3


def patches(seed: int, count: int, dispose: str, blend: str) -> tuple[list[np.ndarray], list[dict[str, Any]]]:
    """Draw what an animation shows whose frames are patches of the canvas, and how the patches are made."""
    dice, width, height = Random(seed), 96, 64
    canvas = np.zeros((height, width, 4), np.uint8)
    shown, made = [], []
    for number in range(count):
        w, h = (width, height) if number == 0 else (dice.randrange(8, 60), dice.randrange(8, 40))
        x, y = (0, 0) if number == 0 else (dice.randrange(0, width - w), dice.randrange(0, height - h))
        patch = np.full((h, w, 4), [*(dice.randrange(256) for _ in range(3)), 255], np.uint8)
        if number:
            patch[: h // 2, :, 3] = 0
        before, area = canvas.copy(), np.s_[y : y + h, x : x + w]
        solid = patch[..., 3:] > 0
        canvas[area] = patch if blend == "source" else np.where(solid, patch, canvas[area])
        over = np.where(canvas[..., 3:] > 0, canvas[..., :3], 255).astype(np.uint8)
        shown.append(over)
        made.append({"pixels": patch, "x": x, "y": y})
        if dispose == "background":
            canvas[area] = 0
        elif dispose == "previous" and number:
            canvas = before
        elif dispose == "previous":  # there is nothing before the first frame
            canvas[area] = 0
    return shown, made


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def write_apng(path: Path, made: list[dict[str, Any]], dispose: str, blend: str, *, hidden: bool = False) -> Path:
    """Write an APNG chunk by chunk; `hidden` puts a red picture in front that is no frame of the animation."""
    codes = {"none": 0, "background": 1, "previous": 2}, {"source": 0, "over": 1}
    height, width = made[0]["pixels"].shape[:2]
    out = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0))
    out += chunk(b"acTL", struct.pack(">II", len(made), 0))
    number = 0

    def rows(pixels: np.ndarray) -> bytes:
        return zlib.compress(b"".join(b"\0" + row.tobytes() for row in pixels))

    if hidden:
        out += chunk(b"IDAT", rows(np.broadcast_to(np.uint8([255, 0, 0, 255]), (height, width, 4))))
    for index, frame in enumerate(made):
        h, w = frame["pixels"].shape[:2]
        control = struct.pack(">IIIII", number, w, h, frame["x"], frame["y"])
        out += chunk(b"fcTL", control + struct.pack(">HHBB", index + 1, 30, codes[0][dispose], codes[1][blend]))
        number += 1
        if index == 0 and not hidden:
            out += chunk(b"IDAT", rows(frame["pixels"]))
        else:
            out += chunk(b"fdAT", struct.pack(">I", number) + rows(frame["pixels"]))
            number += 1
    path.write_bytes(out + chunk(b"IEND", b""))
    return path


@pytest.mark.parametrize("dispose", ["none", "background", "previous"])
@pytest.mark.parametrize("blend", ["source", "over"])
@pytest.mark.parametrize("hidden", [False, True])
def test_apng_frames_are_composed(tmp_path: Path, dispose: str, blend: str, hidden: bool) -> None:
    shown, made = patches(1, 8, dispose, blend)
    path = write_apng(tmp_path / "a.png", made, dispose, blend, hidden=hidden)
    clip = probe(path)
    assert clip.frame_count == 8
    assert [clip.frame_duration_seconds(index) for index in range(8)] == [Fraction(n, 30) for n in range(1, 9)]
    for index, frame in enumerate(FrameReader(clip)):
        np.testing.assert_array_equal(frame.pixels, shown[index], err_msg=f"frame {index}")


@pytest.mark.parametrize("disposal", [1, 2, 3])
def test_gif_frames_are_composed(tmp_path: Path, disposal: int) -> None:
    frames = []
    for number in range(5):
        pixels = np.zeros((64, 96, 4), np.uint8)
        pixels[:, 16 * number : 16 * number + 20] = [40 * number, 200, 30, 255]
        frames.append(pixels)
    path = stills.write_animation(tmp_path / "a.png", frames, "GIF", duration=50, disposal=disposal)
    kept = disposal == 1
    for number, pixels in enumerate(frames_of(path)):
        assert abs(int(pixels[5, 16 * number + 10, 0]) - 40 * number) < 3
        is_white = bool((pixels[5, 2] > 250).all())
        assert is_white == (number > 0 and not kept), f"frame {number}"


def test_transparent_webp_is_over_white(tmp_path: Path) -> None:
    frames = []
    for number in range(4):
        pixels = np.zeros((64, 96, 4), np.uint8)
        pixels[::2, 20 * number : 20 * number + 20] = [200, 10, 10, 255]
        frames.append(pixels)
    path = stills.write_animation(tmp_path / "a.webp", frames, "WEBP", duration=50, lossless=True)
    for number, pixels in enumerate(frames_of(path)):
        inside = np.zeros((64, 96), bool)
        inside[::2, 20 * number : 20 * number + 20] = True
        assert (pixels[inside] == [200, 10, 10]).all()
        assert (pixels[~inside] == 255).all()


@pytest.mark.parametrize("rate", [Fraction(25), Fraction(30), Fraction(10)])
def test_own_animated_webp_comes_back(tmp_path: Path, transcode: Callable[..., Any], rate: Fraction) -> None:
    source = media.write_video(tmp_path / "s.mkv", media.numbered_pictures(12), rate=rate, codec=media.FFV1)
    trip = transcode(source, "o.webp")
    clip = probe(trip.output)
    assert (clip.frame_count, clip.rate, clip.variable_rate) == (12, rate, False)
    assert clip.pts_seconds == tuple(at - trip.clip.pts_seconds[0] for at in trip.clip.pts_seconds)
    assert indices_of(trip.output) == list(range(12))


def test_own_webp_at_an_odd_rate_is_right_to_a_millisecond(tmp_path: Path, transcode: Callable[..., Any]) -> None:
    source = media.write_video(
        tmp_path / "s.mkv", media.numbered_pictures(40), rate=Fraction(30000, 1001), codec=media.FFV1
    )
    trip = transcode(source, "o.webp")
    clip = probe(trip.output)
    assert clip.frame_count == 40
    wanted = [at - trip.clip.pts_seconds[0] for at in trip.clip.pts_seconds]
    assert max(abs(one - two) for one, two in zip(clip.pts_seconds, wanted, strict=True)) <= Fraction(1, 1000)


def test_own_uneven_webp_comes_back(tmp_path: Path, transcode: Callable[..., Any]) -> None:
    frames = media.numbered_pictures(8)
    source = media.write_video(tmp_path / "s.mkv", frames, pts_seconds=media.UNEVEN_PTS, codec=media.FFV1)
    trip = transcode(source, "o.webp")
    clip = probe(trip.output)
    assert clip.variable_rate
    assert clip.pts_seconds == tuple(at - trip.clip.pts_seconds[0] for at in trip.clip.pts_seconds)
    assert indices_of(trip.output) == list(range(8))


@pytest.mark.parametrize("bits", [8, 16])
def test_pages_of_tiff_are_a_sequence(tmp_path: Path, bits: int) -> None:
    import cv2

    pages = [to_depth(pixels, bits) for pixels in media.numbered_pictures(5)]
    assert cv2.imwritemulti(str(tmp_path / "a.tif"), [page[..., ::-1] for page in pages])
    clip = probe(tmp_path / "a.tif", fps=Fraction(12))
    assert (clip.kind, clip.frame_count, clip.bit_depth) == (SourceKind.ANIMATION, 5, bits)
    assert (clip.rate, clip.variable_rate, clip.duration_seconds) == (12, False, Fraction(5, 12))
    for frame, page in zip(FrameReader(clip), pages, strict=True):
        np.testing.assert_array_equal(frame.pixels, page)
    assert find_shots(clip, start=0, end=5, method="auto") == [Shot(0, 5)]


def to_depth(pixels: np.ndarray, bits: int) -> np.ndarray:
    return pixels if bits == 8 else np.minimum(pixels.astype(np.uint16), 254) * np.uint16(257) + np.uint16(3)


@pytest.mark.parametrize("alpha", [False, True])
def test_sixteen_bits_of_apng_are_kept(tmp_path: Path, alpha: bool) -> None:
    deep = [to_depth(pixels, 16) for pixels in media.numbered_pictures(3)]
    whole = b"".join(pixels.byteswap().tobytes() for pixels in deep)
    raw = ("-f", "rawvideo", "-pix_fmt", "rgb48be", "-s", "96x64", "-framerate", "10", "-i", "pipe:0")
    form = ("-c:v", "apng", "-pix_fmt", "rgba64be" if alpha else "rgb48be", "-f", "apng")
    media.run_ffmpeg(*raw, *form, tmp_path / "a.png", data=whole)
    clip = probe(tmp_path / "a.png")
    assert (clip.frame_count, clip.bit_depth, clip.rate) == (3, 16, 10)
    for frame, wanted in zip(FrameReader(clip), deep, strict=True):
        np.testing.assert_array_equal(frame.pixels, wanted)


@pytest.mark.parametrize("bits", [8, 16])
def test_own_apng_comes_back(tmp_path: Path, transcode: Callable[..., Any], bits: int) -> None:
    source = media.write_video(tmp_path / "s.mkv", media.numbered_pictures(8), pts_seconds=media.UNEVEN_PTS)
    trip = transcode(source, "o.apng", bits=bits)
    clip = probe(trip.output)
    assert (clip.kind, clip.frame_count, clip.bit_depth) == (SourceKind.ANIMATION, 8, bits)
    wanted = [at - trip.clip.pts_seconds[0] for at in trip.clip.pts_seconds]
    assert max(abs(one - two) for one, two in zip(clip.pts_seconds, wanted, strict=True)) <= Fraction(1, 1000)
    assert abs(clip.last_duration_seconds - trip.clip.last_duration_seconds) <= Fraction(1, 1000)
    assert indices_of(trip.output) == list(range(8))


def test_pages_of_unequal_sizes_are_refused(tmp_path: Path) -> None:
    frames = [*media.numbered_pictures(2), media.numbered_picture(2, (64, 96))]
    path = stills.write_animation(tmp_path / "a.tif", frames, "TIFF")
    with pytest.raises(SourceError, match=r"page 1 of .*a\.tif has 96x64 pixels but page 3 has 64x96; save pages"):
        probe(path)


def test_thumbnails_in_a_tiff_are_no_pages(tmp_path: Path) -> None:
    from PIL.TiffImagePlugin import AppendingTiffWriter

    path = tmp_path / "a.tif"
    with AppendingTiffWriter(str(path), True) as file:
        for pixels, reduced in [(media.numbered_picture(1), 0), (media.numbered_picture(2, (48, 32)), 1)]:
            Image.fromarray(pixels).save(file, "TIFF", tiffinfo={254: reduced})
            file.newFrame()
    clip = probe(path)
    assert (clip.kind, clip.frame_count) == (SourceKind.PICTURES, 1)
    with AppendingTiffWriter(str(path), False) as file:
        Image.fromarray(media.numbered_picture(3)).save(file, "TIFF", tiffinfo={254: 2})
        file.newFrame()
    assert indices_of(path) == [1, 3]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pages_of_tiff_are_upright(tmp_path: Path, orientation: int) -> None:
    wanted = media.numbered_pictures(3)
    turned = [stills.stored(pixels, orientation) for pixels in wanted]
    path = stills.write_animation(tmp_path / "a.tif", turned, "TIFF", exif=stills.exif(orientation=orientation))
    for read, pixels in zip(frames_of(path), wanted, strict=True):
        np.testing.assert_array_equal(read, pixels)


@pytest.mark.parametrize("orientation", [3, 5, 6])
def test_animations_are_upright(tmp_path: Path, orientation: int) -> None:
    turned = [stills.stored(pixels, orientation) for pixels in media.numbered_pictures(3)]
    data = stills.exif(orientation=orientation)
    path = stills.write_animation(tmp_path / "a.webp", turned, "WEBP", duration=40, lossless=True, exif=data)
    for read, pixels in zip(frames_of(path), media.numbered_pictures(3), strict=True):
        np.testing.assert_array_equal(read, pixels)


def test_animations_are_read_in_any_order(tmp_path: Path) -> None:
    path = stills.write_animation(tmp_path / "a.png", media.numbered_pictures(9), "PNG", duration=40)
    with AnimationReader(path, read_image_header(path)) as reader:
        for index in (5, 2, 8, 0, 8, 3):
            assert media.read_index(reader.read(index)) == index
    clip = probe(path)
    frames = FrameCache(clip, [Shot(0, 4), Shot(4, 9)], size=None, frames=4)
    assert [media.read_index(frames.get(shot, index)) for shot, index in [(1, 6), (0, 1), (1, 4), (0, 3)]] == [
        6,
        1,
        4,
        3,
    ]
    frames.close()
    assert media.read_index(read_quick_frame(path, 7)) == 7
    with pytest.raises(SourceError, match="no frame 9"):
        read_quick_frame(path, 9)


def test_animations_in_a_burst_are_named(tmp_path: Path) -> None:
    media.write_pictures(tmp_path, media.numbered_pictures(2))
    stills.write_animation(tmp_path / "0002.png", media.numbered_pictures(4, first=2), "PNG", duration=40)
    clip = probe(tmp_path)
    assert clip.frame_count == 3
    assert clip.notes == ("0002.png has 4 frames, of which only the first is used in a sequence",)


@pytest.mark.parametrize(("name", "kind", "options"), [*KINDS, ("a.tif", "TIFF", {})])
def test_number_and_size_of_frames_are_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, kind: str, options: dict[str, Any]
) -> None:
    path = stills.write_animation(tmp_path / name, media.numbered_pictures(6), kind, **options)
    monkeypatch.setattr(limits, "MAX_ANIMATION_PIXELS", 6 * 96 * 64 - 1)
    monkeypatch.setattr(AnimationReader, "read", None)
    with pytest.raises(SourceError, match="6 frames of 96x64, together more than"):
        probe(path)
    monkeypatch.setattr(limits, "MAX_FRAMES", 5)
    with pytest.raises(SourceError, match="more than 5 frames"):
        probe(path)


@pytest.mark.parametrize(("name", "kind", "options"), KINDS)
def test_animations_cut_short_are_refused(tmp_path: Path, name: str, kind: str, options: dict[str, Any]) -> None:
    path = stills.write_animation(tmp_path / name, media.numbered_pictures(6), kind, **options)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 7 // 10])
    with pytest.raises(SourceError, match=name.replace(".", r"\.")):
        probe(path)


def test_damaged_page_of_tiff_can_be_repeated(tmp_path: Path) -> None:
    path = stills.write_animation(
        tmp_path / "a.tif", media.numbered_pictures(3), "TIFF", compression="tiff_adobe_deflate"
    )
    with Image.open(path) as image:
        image.seek(1)
        offset, length = image.tag_v2[273][0], image.tag_v2[279][0]
    data = bytearray(path.read_bytes())
    data[offset : offset + length] = b"\xff" * length
    path.write_bytes(data)
    clip = probe(path)
    with pytest.raises(BadFrameError, match="frame 1"):
        list(FrameReader(clip))
    repeated = FrameReader(clip, on_bad_frame="repeat")
    assert [media.read_index(frame.pixels) for frame in repeated] == [0, 0, 2]


def test_one_frame_is_written_as_apng(tmp_path: Path, transcode: Callable[..., Any]) -> None:
    media.write_pictures(tmp_path / "p", media.numbered_pictures(1))
    trip = transcode(tmp_path / "p" / "0000.png", "o.apng")
    np.testing.assert_array_equal(images.read_image(trip.output), media.numbered_picture(0))
    clip = probe(trip.output)
    assert (clip.kind, clip.frame_count) == (SourceKind.PICTURES, 1)
