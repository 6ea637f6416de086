"""Pictures: found in natural order, read upright as RGB, written whole."""

import os
import re
import struct
import zlib
from pathlib import Path
from random import Random

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from support import media

from vidnst.errors import DiskFullError, OutputError, SourceError
from vidnst.frames import to_bits
from vidnst.media import images
from vidnst.media.input import image_files, image_header


def save(path: Path, pixels: np.ndarray) -> Path:
    order = {3: cv2.COLOR_RGB2BGR, 4: cv2.COLOR_RGBA2BGRA}
    assert cv2.imwrite(str(path), cv2.cvtColor(pixels, order[pixels.shape[2]]) if pixels.ndim == 3 else pixels)
    return path


@given(st.lists(st.integers(0, 10**12), min_size=1, max_size=30))
def test_natural_order_of_numbers(numbers: list[int]) -> None:
    paths = [Path(f"shots/img{number}.png") for number in numbers]
    ordered = sorted(paths, key=image_files.natural_sort_key)
    assert ordered == [Path(f"shots/img{number}.png") for number in sorted(numbers)]


@given(st.lists(st.text(st.characters(blacklist_characters="/\0"), min_size=1, max_size=12), max_size=12), st.randoms())
def test_natural_order_is_total(names: list[str], random: Random) -> None:
    paths = [Path(name) for name in names]
    ordered = sorted(paths, key=image_files.natural_sort_key)
    random.shuffle(paths)
    assert sorted(paths, key=image_files.natural_sort_key) == ordered


def test_folder_lists_images_only_in_natural_order(tmp_path: Path) -> None:
    for name in ("img10.png", "img2.PNG", "IMG1.jpg", "notes.txt", "clip.mp4", ".hidden.png", "._img2.png"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "deeper").mkdir()
    assert [path.name for path in image_files.list_images(tmp_path) or ()] == ["IMG1.jpg", "img2.PNG", "img10.png"]


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no images in the folder"):
        image_files.list_images(tmp_path)


def test_glob_lists_matching_images(tmp_path: Path) -> None:
    for name in ("a12.png", "a3.png", "b1.png", "a1.txt"):
        (tmp_path / name).write_bytes(b"")
    assert [path.name for path in image_files.list_images(str(tmp_path / "a*")) or ()] == ["a3.png", "a12.png"]
    with pytest.raises(SourceError, match="no images that match"):
        image_files.list_images(str(tmp_path / "c*.png"))


def test_relative_glob(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a1.png").write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    assert image_files.list_images("*.png") == (Path("a1.png"),)


def test_printf_pattern_lists_numbers(tmp_path: Path) -> None:
    for name in ("50%_0009.png", "50%_0010.png", "50%_00011.png", "50%_8.png", "other_0012.png"):
        (tmp_path / name).write_bytes(b"")
    found = image_files.list_images(str(tmp_path / "50%%_%04d.png")) or ()
    assert [path.name for path in found] == ["50%_0009.png", "50%_0010.png", "50%_00011.png"]


def test_missing_number_of_printf_pattern_is_named(tmp_path: Path) -> None:
    for number in (3, 4, 6):
        (tmp_path / f"f{number:03d}.png").write_bytes(b"")
    with pytest.raises(SourceError, match=r"number 5 of .* is missing \(3 to 6 exist\)"):
        image_files.list_images(str(tmp_path / "f%03d.png"))


def test_existing_file_is_no_pattern(tmp_path: Path) -> None:
    odd = tmp_path / "what[1]%02d*.png"
    odd.write_bytes(b"")
    assert image_files.list_images(str(odd)) == (odd,)


def test_missing_source_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"nowhere\.mp4"):
        image_files.list_images(tmp_path / "nowhere.mp4")


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp", ".webp", ".jpg"])
def test_pictures_are_read_as_rgb(tmp_path: Path, suffix: str) -> None:
    wanted = media.numbered_picture(5)
    path = tmp_path / f"a{suffix}"
    images.write_image(path, wanted)
    read = images.read_image(path)
    assert read.dtype == np.uint8
    lossy = suffix in (".jpg", ".webp")
    assert np.abs(read.astype(int) - wanted).mean() < (2 if lossy else 1e-9)


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_16_bits_are_kept(tmp_path: Path, suffix: str) -> None:
    wanted = np.random.default_rng(1).integers(0, 65536, (9, 7, 3)).astype(np.uint16)
    images.write_image(tmp_path / f"a{suffix}", wanted)
    assert np.array_equal(images.read_image(tmp_path / f"a{suffix}"), wanted)


@given(st.integers(0, 65535))
def test_bit_depth_is_rounded_and_8_bits_survive_16(level: int) -> None:
    deep = np.full((1, 1, 3), level, np.uint16)
    shallow = to_bits(deep, 8)
    assert shallow.dtype == np.uint8
    assert abs(int(shallow[0, 0, 0]) - level / 257) <= 0.5
    assert np.array_equal(to_bits(to_bits(shallow, 16), 8), shallow)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path: Path, kind: str, orientation: int) -> None:
    upright = media.numbered_picture(3, (96, 64))
    undo = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.swapaxes(0, 1),
        6: np.rot90(upright, 1),
        7: np.rot90(upright.swapaxes(0, 1), 2),
        8: np.rot90(upright, -1),
    }
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"a.{kind.lower()}"
    Image.fromarray(np.ascontiguousarray(undo[orientation])).save(path, kind, exif=exif, quality=95)
    read = images.read_image(path)
    header = image_header.read_image_header(path)
    assert (header.width, header.height) == (96, 64)
    assert read.shape == upright.shape
    assert media.is_upright(read)
    assert media.read_index(read) == 3


def test_grey_becomes_three_equal_channels(tmp_path: Path) -> None:
    grey = np.arange(20, dtype=np.uint16).reshape(4, 5) * 3000
    read = images.read_image(save(tmp_path / "g.png", grey))
    assert np.array_equal(read, np.repeat(grey[..., None], 3, axis=2))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_transparency_is_composited_over_white(tmp_path: Path, dtype: type) -> None:
    top = int(np.iinfo(dtype).max)
    pixels = np.zeros((1, 3, 4), dtype)
    pixels[0, :, 0] = top // 2  # red
    pixels[0, :, 3] = (0, top // 2, top)
    read = images.read_image(save(tmp_path / "a.png", pixels)).astype(float) / top
    assert np.allclose(read[0], [[1, 1, 1], [0.75, 0.5, 0.5], [0.5, 0, 0]], atol=0.01)


def test_palettes_are_resolved(tmp_path: Path) -> None:
    image = Image.fromarray(media.numbered_picture(0)).quantize(16)
    image.save(tmp_path / "p.png")
    assert np.array_equal(images.read_image(tmp_path / "p.png"), np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("content", [b"", b"not a picture", b"\x89PNG\r\n\x1a\n" + b"\0" * 50])
def test_other_files_are_refused_by_name(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.png").write_bytes(content)
    with pytest.raises(SourceError, match=r"bad\.png"):
        images.read_image(tmp_path / "bad.png")


def test_truncated_image_is_refused(tmp_path: Path) -> None:
    whole = images.encode_png(np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8))
    (tmp_path / "short.png").write_bytes(whole[: len(whole) // 3])
    with pytest.raises(SourceError, match=r"short\.png"):
        images.read_image(tmp_path / "short.png")


def test_decompression_bomb_is_refused_before_decoding(tmp_path: Path) -> None:
    def chunk(name: bytes, content: bytes) -> bytes:
        return len(content).to_bytes(4, "big") + name + content + zlib.crc32(name + content).to_bytes(4, "big")

    header = chunk(b"IHDR", (50_000).to_bytes(4, "big") * 2 + b"\x08\x02\0\0\0")
    data = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(1000)))
    (tmp_path / "bomb.png").write_bytes(data)
    with pytest.raises(SourceError, match=r"more than \d+ pixels"):
        images.read_image(tmp_path / "bomb.png")


def test_floating_point_pictures_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((4, 4), np.float32)).save(tmp_path / "f.tif")
    with pytest.raises(SourceError, match="float32"):
        images.read_image(tmp_path / "f.tif")


def test_failed_write_keeps_old_image_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.png"
    images.write_png(path, media.numbered_picture(1))
    before = path.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DiskFullError, match=re.escape(str(tmp_path))):
        images.write_png(path, media.numbered_picture(2))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_writing_into_a_missing_folder_is_an_output_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="no has gone"):
        images.write_png(tmp_path / "no" / "a.png", media.numbered_picture(0))


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def test_png_header_is_read_without_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images.write_png(tmp_path / "a.png", media.numbered_picture(3, (96, 64)))

    def load(self: object) -> None:
        raise AssertionError("pixels were decoded")

    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", load)
    height, width = media.numbered_picture(3, (96, 64)).shape[:2]
    assert image_header.read_image_header(tmp_path / "a.png") == image_header.ImageHeader(width, height, 1, "PNG")


def test_exif_after_png_pixels_is_applied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data, end = images.encode_png(media.numbered_picture(3, (96, 64))), chunk(b"IEND", b"")
    assert data.endswith(end)
    (tmp_path / "a.png").write_bytes(data.removesuffix(end) + chunk(b"eXIf", exif.tobytes()[6:]) + end)
    assert image_header.read_image_header(tmp_path / "a.png").orientation == 6
    assert np.array_equal(images.read_image(tmp_path / "a.png"), np.rot90(media.numbered_picture(3, (96, 64)), -1))


@pytest.mark.parametrize("lost", [1, 12, 40, 1500])
def test_truncated_png_has_a_header_but_no_pixels(lost: int, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(images.encode_png(media.numbered_picture(3, (96, 64)))[:-lost])
    assert image_header.read_image_header(tmp_path / "a.png").width == 96
    with pytest.raises(SourceError, match=r"a\.png does not decode"):
        images.read_image(tmp_path / "a.png")
