"""Photographs of phones: HEIC and AVIF, whole, upright, in their bit depth, wherever pictures are read."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support import avif_boxes, media, stills

from vidnst.errors import SourceError
from vidnst.frames import SourceKind
from vidnst.media import images
from vidnst.media.input import image_header, limits
from vidnst.media.input.frame_reader import FrameReader
from vidnst.media.input.picture_facts import read_picture_facts
from vidnst.media.input.probe import probe

LARGE = (1100, 724)


def closeness(read: np.ndarray, wanted: np.ndarray) -> float:
    """Mean difference in levels."""
    assert read.shape == wanted.shape
    return float(np.abs(read.astype(float) - wanted).mean())


def write_avif(path: Path, pixels: np.ndarray, *, orientation: int = 1) -> Path:
    turned = Image.fromarray(stills.stored(pixels, orientation))
    turned.save(path, "AVIF", quality=95, subsampling="4:4:4", speed=10, exif=stills.exif(orientation=orientation))
    return path


def test_tiles_of_a_heic_photograph_are_put_together(tmp_path: Path) -> None:
    wanted = media.numbered_picture(5, LARGE)
    path = stills.write_heic(tmp_path / "IMG_1.HEIC", wanted, tile_px=512)
    assert b"grid" in path.read_bytes()
    clip = probe(path)
    assert (clip.kind, clip.width, clip.height, clip.frame_count) == (SourceKind.PICTURES, *LARGE, 1)
    assert closeness(FrameReader(clip).read(0).pixels, wanted) < 1


def test_thumbnails_and_depth_are_not_the_picture(tmp_path: Path) -> None:
    import pillow_heif

    wanted = media.numbered_picture(5, (640, 480))
    file = pillow_heif.from_pillow(Image.fromarray(wanted))
    file.info["thumbnails"] = [128]
    file.save(tmp_path / "a.heic", quality=-1, chroma=444)
    assert len(pillow_heif.open_heif(tmp_path / "a.heic").info["thumbnails"]) == 1
    assert closeness(images.read_image(tmp_path / "a.heic"), wanted) < 1


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("tile_px", [0, 256])
def test_heic_is_upright(tmp_path: Path, orientation: int, tile_px: int) -> None:
    wanted = media.numbered_picture(3, (360, 300))
    path = stills.write_heic(tmp_path / "a.heic", wanted, orientation=orientation, tile_px=tile_px)
    header = image_header.read_image_header(path)
    assert (header.width, header.height) == (360, 300)
    assert closeness(images.read_image(path), wanted) < 1


@pytest.mark.parametrize("orientation", range(1, 9))
def test_avif_is_upright(tmp_path: Path, orientation: int) -> None:
    wanted = media.numbered_picture(3, (96, 64))
    path = write_avif(tmp_path / "a.avif", wanted, orientation=orientation)
    header = image_header.read_image_header(path)
    assert (header.width, header.height) == (96, 64)
    assert closeness(images.read_image(path), wanted) < 3


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_right_by_pixel(tmp_path: Path, kind: str, orientation: int) -> None:
    wanted = media.numbered_picture(9, (96, 64))
    path = tmp_path / "a"
    options = {"JPEG": {"subsampling": 0}, "WEBP": {"lossless": True}}.get(kind, {})
    turned = Image.fromarray(stills.stored(wanted, orientation))
    turned.save(path, kind, quality=95, exif=stills.exif(orientation=orientation), **options)
    read = images.read_image(path)
    assert closeness(read, wanted) < (3 if kind in ("JPEG", "AVIF") else 1e-9)


def test_exif_does_not_turn_a_heic_twice(tmp_path: Path) -> None:
    wanted = media.numbered_picture(3, (96, 64))
    path = stills.write_heic(tmp_path / "a.heic", wanted, orientation=6)
    data = path.read_bytes()
    assert b"irot" in data
    assert b"\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06" in data  # EXIF says so, too
    assert closeness(images.read_image(path), wanted) < 1


def test_ten_bits_of_heic_are_kept(tmp_path: Path) -> None:
    steps = np.linspace(0, 1023, 96).round().astype(np.uint16)
    grey = np.broadcast_to(steps[None, :, None], (64, 96, 3))
    path = stills.write_heic(tmp_path / "deep.heic", np.ascontiguousarray(grey * np.uint16(64)))
    read = images.read_image(path)
    assert read.dtype == np.uint16
    assert np.abs(read.astype(float) - grey * (65535 / 1023)).max() < 3 * 64
    assert read.max() == 65535
    assert probe(path).bit_depth == 16


def test_ten_bits_of_avif_are_kept(tmp_path: Path) -> None:
    media.write_picture(tmp_path / "a.png", media.numbered_picture(7))
    av1 = ("-c:v", "libaom-av1", "-still-picture", "1", "-cpu-used", "8", "-crf", "5", "-pix_fmt", "yuv444p10le")
    media.run_ffmpeg("-i", tmp_path / "a.png", *av1, tmp_path / "a.avif")
    read = images.read_image(tmp_path / "a.avif")
    assert read.dtype == np.uint16
    assert closeness(read / 257, media.numbered_picture(7)) < 4
    assert media.read_index(read) == 7


@pytest.mark.parametrize("ten_bits", [False, True])
@pytest.mark.parametrize("turns", [0, 1, 2])
def test_tiles_of_an_avif_photograph_are_put_together(tmp_path: Path, ten_bits: bool, turns: int) -> None:
    wanted = media.numbered_picture(11, (320, 192))
    cells = [wanted[y : y + 96, x : x + 160] for y in (0, 96) for x in (0, 160)]
    tiles = [avif_boxes.encode_tile(tmp_path, np.ascontiguousarray(cell), ten_bits=ten_bits) for cell in cells]
    path = avif_boxes.write_grid(
        tmp_path / "a.avif",
        tiles,
        columns=2,
        tile_size=(160, 96),
        size=(320, 192),
        quarter_turns=turns,
        ten_bits=ten_bits,
    )
    clip = probe(path)
    assert (clip.width, clip.height) == ((192, 320) if turns % 2 else (320, 192))
    assert clip.bit_depth == (16 if ten_bits else 8)
    read = FrameReader(clip).read(0).pixels / (257 if ten_bits else 1)
    assert closeness(read, np.rot90(wanted, turns)) < 4


def test_transparency_of_heic_is_over_white(tmp_path: Path) -> None:
    pixels = np.zeros((64, 96, 4), np.uint8)
    pixels[:, 48:, 3] = 255
    path = stills.write_heic(tmp_path / "a.heic", pixels)
    read = images.read_image(path)
    assert read[:, :44].min() > 250
    assert read[:, 52:].max() < 5


def test_bursts_of_heic_are_sequences(tmp_path: Path) -> None:
    for number in (1, 2, 10):
        stills.write_heic(tmp_path / f"IMG_{number}.HEIC", media.numbered_picture(number), tile_px=64)
    for source in (tmp_path, tmp_path / "IMG_*.HEIC", [tmp_path / f"IMG_{number}.HEIC" for number in (1, 2, 10)]):
        clip = probe(source)
        assert [media.read_index(frame.pixels) for frame in FrameReader(clip)] == [1, 2, 10]


@pytest.mark.parametrize("name", ["photo.jpg", "photo.mp4", "photo"])
def test_heic_is_known_by_its_content(tmp_path: Path, name: str) -> None:
    wanted = media.numbered_picture(3, LARGE)
    path = stills.write_heic(tmp_path / name, wanted, tile_px=512)
    clip = probe(path)
    assert (clip.kind, clip.width, clip.height) == (SourceKind.PICTURES, *LARGE)


def test_jpeg_called_heic_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.heic"
    Image.fromarray(media.numbered_picture(4)).save(path, "JPEG", quality=95)
    assert media.read_index(images.read_image(path)) == 4


def test_further_images_of_a_heic_are_named(tmp_path: Path) -> None:
    path = stills.write_heic_of_several(tmp_path / "a.heic", media.numbered_pictures(3), primary=1)
    clip = probe(path)
    assert clip.frame_count == 1
    assert media.read_index(FrameReader(clip).read(0).pixels) == 1
    assert clip.notes == ("a.heic has 3 images, of which only the primary one is used",)


@pytest.mark.parametrize("thumbnail", [False, True])
def test_further_images_of_a_jpeg_are_named(tmp_path: Path, thumbnail: bool) -> None:
    first, second = (Image.fromarray(pixels) for pixels in media.numbered_pictures(2))
    path = tmp_path / "a.jpg"
    first.save(path, "MPO", save_all=True, append_images=[second], quality=95)
    if thumbnail:
        data = bytearray(path.read_bytes())
        (entry,) = re.finditer(rb"\x02\xb0\x07\x00\x20\x00\x00\x00(.{4})", data, re.DOTALL)
        at = data.index(b"MPF\0") + 4 + int.from_bytes(entry[1], "little") + 16
        data[at : at + 4] = (0x010001).to_bytes(4, "little")
        path.write_bytes(data)
    clip = probe(path)
    assert media.read_index(FrameReader(clip).read(0).pixels) == 0
    assert clip.notes == ("a.jpg has 2 images, of which only the primary one is used",) * (not thumbnail)
    assert read_picture_facts([path]).others == (not thumbnail)


def test_gain_map_of_a_jpeg_is_named(tmp_path: Path) -> None:
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/" hdrgm:Version="1.0"/>'
    Image.fromarray(media.numbered_picture(1)).save(tmp_path / "a.jpg", xmp=xmp)
    assert read_picture_facts([tmp_path / "a.jpg"]).metadata == ("XMP", "HDR gain map")


@pytest.mark.parametrize(("transfer", "named"), [(16, True), (18, True), (13, False), (1, False)])
def test_light_of_hdr_photographs_is_named(tmp_path: Path, transfer: int, named: bool) -> None:
    path = stills.write_heic(tmp_path / "a.heic", media.numbered_picture(1))
    data = bytearray(path.read_bytes())
    at = data.index(b"colrnclx")
    data[at + 10 : at + 12] = transfer.to_bytes(2, "big")
    path.write_bytes(data)
    assert probe(path).notes == (
        ("a.heic is HDR (PQ or HLG), and is shown as if it were SDR: convert it first",) * named
    )


@pytest.mark.parametrize("exif", [b"Exif\0\0II*\0\xff\xff\xff\xff", b"\0" * 40, b"MM"])
def test_damaged_exif_of_heic_does_not_count(tmp_path: Path, exif: bytes) -> None:
    path = stills.write_heic(tmp_path / "a.heic", media.numbered_picture(1), metadata=exif)
    assert media.read_index(images.read_image(path)) == 1


def test_too_many_pixels_are_refused_before_decoding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = stills.write_heic(tmp_path / "a.heic", media.numbered_picture(3))
    monkeypatch.setattr(image_header, "MAX_PIXELS", 96 * 64 - 1)
    monkeypatch.setattr("vidnst.media.input.image_pixels.STILL_PROCESSES", None)
    with pytest.raises(SourceError, match="more than 6143 pixels"):
        images.read_image(path)


@pytest.mark.parametrize("suffix", [".heic", ".avif", ".webp", ".png"])
def test_too_many_bytes_are_refused_before_reading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(b"\0" * 1000)
    monkeypatch.setattr(image_header, "MAX_IMAGE_BYTES", 999)
    with pytest.raises(SourceError, match="more than 999 bytes"):
        images.read_image(path)
    assert limits.MAX_IMAGE_BYTES > 999


def test_size_that_differs_from_the_header_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = stills.write_heic(tmp_path / "a.heic", media.numbered_picture(3))
    small = np.zeros((32, 32, 3), np.uint8)
    monkeypatch.setattr("vidnst.media.input.image_pixels._from_child", lambda *_: small)
    with pytest.raises(SourceError, match="96x64 pixels by its header but 32x32 decoded"):
        images.read_image(path)


@pytest.mark.parametrize("old", [b"ispe\x00\x00\x00\x00\x00\x00\x00\x60", b"grid"])
def test_wrong_heic_headers_end_in_one_error(tmp_path: Path, old: bytes) -> None:
    path = stills.write_heic(tmp_path / "a.heic", media.numbered_picture(3), tile_px=32)
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, old[:-1] + b"\x10"))
    with pytest.raises(SourceError):
        images.read_image(path)


@pytest.mark.parametrize("kind", ["HEIC", "AVIF", "WEBP", "JPEG", "PNG", "TIFF", "BMP", "GIF"])
@pytest.mark.parametrize("share", [0.3, 0.9, 0.999])
def test_pictures_cut_short_are_refused(tmp_path: Path, kind: str, share: float) -> None:
    path, pixels = tmp_path / "a.png", media.numbered_picture(1, (640, 420))
    if kind == "HEIC":
        stills.write_heic(path, pixels, tile_px=256)
    else:
        Image.fromarray(pixels).save(path, kind)
    data = path.read_bytes()
    assert images.read_image(path).shape == pixels.shape
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(SourceError, match=r"a\.png"):
        images.read_image(path)
