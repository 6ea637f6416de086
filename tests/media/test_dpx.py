"""DPX files: values of every depth against ffmpeg's own, transfer characteristics, and damage."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from support import media
from support.exr import to_display

from vidnst.errors import SourceError
from vidnst.media.dpx import read_dpx_header
from vidnst.media.images import read_image, read_image_alpha, read_image_header
from vidnst.media.input.limits import MAX_PIXELS
from vidnst.media.input.probe import probe
from vidnst.media.input.scene_survey import survey_scene
from vidnst.media.output.fates import Fate
from vidnst.media.output.scene_rows import scene_rows

TRANSFER_AT, WIDTH_AT, HEIGHT_AT = 801, 772, 776
LOGARITHMIC, LINEAR = 3, 2


def write_dpx(path: Path, pixels: NDArray[Any], pixel_format: str, *, transfer: int = 0) -> Path:
    """Write RGB as ffmpeg converts it, which is exact where the bits are the same."""
    height, width = pixels.shape[:2]
    stored = "rgb24" if pixels.dtype == np.uint8 else "rgb48le"
    raw = ["-f", "rawvideo", "-pix_fmt", stored, "-s", f"{width}x{height}", "-i", "pipe:0"]
    media.run_ffmpeg(*raw, "-pix_fmt", pixel_format, path, data=pixels.tobytes())
    data = bytearray(path.read_bytes())
    data[TRANSFER_AT] = transfer
    path.write_bytes(data)
    return path


def ramp(bits: int) -> NDArray[np.uint16]:
    """Codes of a depth in the upper bits of 16, so that ffmpeg stores exactly these codes."""
    codes = np.linspace(0, (1 << bits) - 1, 96 * 4 * 3).astype(np.uint16).reshape(4, 96, 3)
    return codes << (16 - bits) | codes >> max(0, 2 * bits - 16)


@pytest.mark.parametrize(
    ("pixel_format", "bits"),
    [
        *(("rgb24", 8), ("rgba", 8), ("abgr", 8), ("gbrp10be", 10), ("gbrp10le", 10), ("gbrp12be", 12)),
        *(("gbrp12le", 12), ("rgb48be", 16), ("rgb48le", 16), ("rgba64be", 16)),
    ],
)
def test_codes_of_every_depth_are_exact(pixel_format: str, bits: int, tmp_path: Path) -> None:
    pixels = ramp(bits)
    path = write_dpx(tmp_path / "a.dpx", (pixels >> 8).astype(np.uint8) if bits == 8 else pixels, pixel_format)
    seen = read_image(path)
    codes = (pixels >> (16 - bits)).astype(float)
    assert read_image_header(path).format == "DPX"
    assert np.abs(seen - codes / ((1 << bits) - 1) * 65535).max() < 0.51


@pytest.mark.parametrize("pixel_format", ["gray", "gray16be"])
def test_grey_becomes_three_channels(pixel_format: str, tmp_path: Path) -> None:
    pixels = np.repeat(ramp(8)[..., :1], 3, axis=2)
    seen = read_image(write_dpx(tmp_path / "a.dpx", pixels, pixel_format))
    assert seen.shape == pixels.shape
    assert (seen[..., 0] == seen[..., 2]).all()
    assert np.abs(seen.astype(int) - pixels).max() < 600  # ffmpeg's grey is rounded in limited range


def test_linear_light_is_painted_by_the_srgb_formula(tmp_path: Path) -> None:
    pixels = ramp(16)
    seen = read_image(write_dpx(tmp_path / "a.dpx", pixels, "rgb48be", transfer=LINEAR))
    assert np.abs(seen - to_display(pixels / 65535) * 65535).max() < 0.51


@pytest.mark.parametrize(("transfer", "transform"), [(LOGARITHMIC, "auto"), (0, "cineon")])
def test_logarithmic_codes_follow_kodak(transfer: int, transform: str, tmp_path: Path) -> None:
    codes: NDArray[Any] = np.array([95, 445, 470, 600, 685, 1023], np.uint16)
    pixels = np.repeat(codes << 6 | codes >> 4, 3).reshape(1, -1, 3)
    path = write_dpx(tmp_path / "a.dpx", np.repeat(pixels, 4, axis=0), "gbrp10be", transfer=transfer)
    black = 10 ** ((95 - 685) * 0.002 / 0.6)
    light = (10 ** ((codes.astype(float) - 685) * 0.002 / 0.6) - black) / (1 - black)
    wanted = np.clip(to_display(light), 0, 1) * 65535
    assert light[2] == pytest.approx(0.18, abs=0.01)  # code 470 is middle grey
    assert np.abs(read_image(path, transform=transform)[0, :, 0] - wanted).max() < 0.6


def test_claimed_giant_size_is_refused_before_decoding(tmp_path: Path) -> None:
    path = write_dpx(tmp_path / "a.dpx", ramp(8), "rgb24")
    data = bytearray(path.read_bytes())
    data[WIDTH_AT : HEIGHT_AT + 4] = (60_000).to_bytes(4, "big") * 2
    path.write_bytes(data)
    for read in (read_image_header, read_image):
        with pytest.raises(SourceError, match=str(MAX_PIXELS)):
            read(path)


@pytest.mark.parametrize("pixel_format", ["rgba", "rgba64be"])
def test_alpha_is_straight_and_kept(pixel_format: str, tmp_path: Path) -> None:
    top = 65535 if pixel_format == "rgba64be" else 255
    kind = ">u2" if top == 65535 else "u1"
    rgba = np.random.default_rng(3).integers(0, top + 1, (8, 16, 4)).astype(kind)
    path = tmp_path / "a.dpx"
    raw = ("-f", "rawvideo", "-pix_fmt", pixel_format, "-s", "16x8", "-i", "pipe:0")
    media.run_ffmpeg(*raw, "-frames:v", "1", path, data=rgba.tobytes())
    assert probe(path).has_alpha
    plane = read_image_alpha(path)
    assert plane is not None
    assert np.abs(plane - rgba[..., 3] * (65535.0 / top)).max() < 0.51
    share = rgba[..., 3:] / top
    wanted = rgba[..., :3] / top * share + 1 - share
    assert np.abs(read_image(path, transform="none") / 65535 - wanted).max() < 2 / 65535


def test_texts_and_time_code_of_the_header_are_named(tmp_path: Path) -> None:
    path = write_dpx(tmp_path / "a.dpx", ramp(16), "rgb48be")
    assert read_dpx_header(path).attributes == ()
    data = path.read_bytes()
    data_at = int.from_bytes(data[4:8], "big")
    head = bytearray(data[:data_at].ljust(2048, b"\0"))
    head[4:8] = (2048).to_bytes(4, "big")
    head[260:266] = b"Film A"
    head[1920:1924] = bytes([0x10, 0x20, 0x30, 0x04])
    path.write_bytes(head + data[data_at:])
    [row] = scene_rows(survey_scene([path], "auto", may_be_damaged=False), "auto")
    assert (row.name, row.value, row.fate) == ("header", "project, time code", Fate.DROPPED)


@pytest.mark.parametrize("length", [0, 3, 800, 2048, 2500])
def test_cut_files_are_an_error(length: int, tmp_path: Path) -> None:
    path = write_dpx(tmp_path / "a.dpx", ramp(10), "gbrp10be")
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(SourceError, match=r"a\.dpx"):
        read_image(path)
