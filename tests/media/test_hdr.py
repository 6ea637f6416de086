"""HDR video: tone-mapped by the formulae of BT.2100 and BT.2390, or kept with its tags and metadata."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from support import media
from support.hdr import write_hdr

from vidnst.config import OutputConfig
from vidnst.errors import ConfigError
from vidnst.frames import ClipInfo, HdrInfo
from vidnst.media.images import write_png
from vidnst.media.input.frame_reader import FrameReader
from vidnst.media.input.hdr import HLG, PQ, hlg_to_nits, nits_to_hlg, nits_to_pq, pq_to_nits, to_hdr, to_sdr
from vidnst.media.input.probe import probe
from vidnst.media.output.bit_depth import resolve_bits
from vidnst.media.output.encode import encode
from vidnst.media.output.hdr_output import resolve_hdr

NITS = (0.0, 1.0, 100.0, 203.0, 1000.0)


def srgb(light: float) -> float:
    return 12.92 * light if light <= 0.0031308 else 1.055 * light ** (1 / 2.4) - 0.055


def expected(nits: float, peak: float = 1000.0) -> float:
    """Compute what a grey of some light becomes in sRGB, from the text of BT.2390."""
    least, white = float(nits_to_pq(np.array(peak))), float(nits_to_pq(np.array(203.0)))
    at, most = float(nits_to_pq(np.array(nits))) / least, white / least
    knee = 1.5 * most - 0.5
    if at >= knee:
        t = (at - knee) / (1 - knee)
        at = (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee) + (-2 * t**3 + 3 * t**2) * most
    return srgb(float(pq_to_nits(np.array(at * least))) / 203)


@pytest.mark.parametrize(("nits", "code"), [(0.0, 0.0), (100.0, 0.508), (1000.0, 0.7518), (10_000.0, 1.0)])
def test_pq_has_its_known_values(nits: float, code: float) -> None:
    assert float(nits_to_pq(np.array(nits))) == pytest.approx(code, abs=1e-4)
    assert float(pq_to_nits(nits_to_pq(np.array(nits)))) == pytest.approx(nits, abs=1e-3)


@pytest.mark.parametrize(("code", "nits"), [(0.5, 1000 * (1 / 12) ** 1.2), (0.75, 203.0), (1.0, 1000.0)])
def test_hlg_has_its_known_values(code: float, nits: float) -> None:
    grey = np.full((1, 1, 3), code, np.float32)
    assert hlg_to_nits(grey)[0, 0] == pytest.approx(nits, rel=2e-3)
    assert nits_to_hlg(hlg_to_nits(grey))[0, 0] == pytest.approx(code, abs=1e-4)


@pytest.mark.parametrize("transfer", [PQ, HLG])
@pytest.mark.parametrize("peak", [150.0, 1000.0, 4000.0])
def test_mapping_back_is_the_inverse(transfer: Any, peak: float) -> None:
    hdr = HdrInfo(transfer, peak_nits=peak if transfer == PQ else 1000.0)
    srgb_colours = np.random.default_rng(6).uniform(0.02, 0.97, (20, 30, 3)).astype(np.float32)
    largest = srgb_colours.max() if peak >= 203 else srgb(peak / 203)
    srgb_colours *= np.float32(largest / srgb_colours.max())
    assert np.abs(to_sdr(to_hdr(srgb_colours, hdr), hdr) - srgb_colours).max() < 2e-3


def test_no_colour_leaves_the_range() -> None:
    hdr = HdrInfo("smpte2084", peak_nits=1000.0)
    codes = np.random.default_rng(7).uniform(0, 1, (40, 40, 3)).astype(np.float32)
    codes[0, :3] = np.eye(3)
    found = to_sdr(codes, hdr)
    assert np.isfinite(found).all()
    assert found.min() >= 0
    assert found.max() <= 1


def test_grey_stays_grey_and_brighter_stays_brighter() -> None:
    ramp = np.linspace(0, 0.75, 200, dtype=np.float32)[None, :, None].repeat(3, 2)
    found = to_sdr(ramp, HdrInfo("smpte2084"))[0]
    assert np.ptp(found, axis=1).max() < 1e-3
    assert (np.diff(found[:, 0]) >= -1e-6).all()
    assert found[-1, 0] == pytest.approx(1, abs=2e-3)


def test_pq_video_is_read_by_the_formula(tmp_path: Path) -> None:
    codes = [float(nits_to_pq(np.array(nits))) for nits in NITS]
    clip = probe(write_hdr(tmp_path / "s.mp4", "smpte2084", codes))
    assert clip.hdr == HdrInfo("smpte2084")
    pixels = FrameReader(clip).read(1).pixels
    assert pixels.dtype == np.uint16
    for column, nits in enumerate(NITS):
        assert pixels[16, 8 + 16 * column] / 65535 == pytest.approx(expected(nits), abs=0.003)


def test_hlg_video_is_read_by_the_formula(tmp_path: Path) -> None:
    clip = probe(write_hdr(tmp_path / "s.mkv", "arib-std-b67", [0.0, 0.5, 0.75, 1.0]))
    assert clip.hdr is not None
    assert clip.hdr.transfer == HLG
    pixels = FrameReader(clip).read(0).pixels
    for column, nits in enumerate((0.0, 1000 * (1 / 12) ** 1.2, 203.0, 1000.0)):
        assert pixels[16, 8 + 16 * column] / 65535 == pytest.approx(expected(nits), abs=0.004)


def test_mastering_metadata_decides_the_peak(tmp_path: Path) -> None:
    hdr = probe(write_hdr(tmp_path / "s.mp4", "smpte2084", [0.5], metadata=True)).hdr
    assert hdr is not None
    assert hdr.peak_nits == 1000
    assert hdr.content_light == (900, 300)
    assert hdr.primaries is not None
    assert [float(number) for number in hdr.primaries[:2]] == [0.68, 0.32]
    assert hdr.min_luminance == Fraction(5, 1000)


def transcode(clip: ClipInfo, output: Path, **settings: Any) -> str:
    size, frames = (clip.width, clip.height), clip.frame_count
    config, how = resolve_hdr(output, OutputConfig(**settings), clip, frames=frames, size=size)
    config, more = resolve_bits(output, config, clip, frames=frames, size=size)
    folder = output.parent / "finished"
    folder.mkdir()
    for frame in FrameReader(clip):
        write_png(folder / f"{frame.index}.png", frame.pixels, bits=config.picture_bits)
    paths = [folder / f"{index}.png" for index in range(frames)]
    encode(paths, output, clip=clip, start=0, end=frames, settings=config)
    return " ".join(filter(None, (how, more)))


def tags_of(path: Path) -> tuple[int, int, int, str]:
    """Return matrix, primaries and transfer as code points, and the pixel format."""
    with av.open(path) as container:
        context = container.streams.video[0].codec_context
        return context.colorspace, context.color_primaries, context.color_trc, str(context.pix_fmt)


@pytest.mark.parametrize("name", ["o.mp4", "o.mov", "o.webm"])
def test_tone_mapped_output_is_tagged_as_sdr(tmp_path: Path, name: str) -> None:
    source = probe(write_hdr(tmp_path / "s.mp4", "smpte2084", [0.2, 0.5, 0.58, 0.75]))
    notes = transcode(source, tmp_path / name)
    assert "tone-mapped to SDR (BT.709), from a peak of 1000 cd/m2" in notes
    assert tags_of(tmp_path / name)[:3] == (1, 1, 1)
    found = probe(tmp_path / name)
    assert found.hdr is None
    before, after = (FrameReader(clip).read(0).pixels[16, 8::16] for clip in (source, found))
    assert np.abs(after / np.iinfo(after.dtype).max - before / 65535).max() < 0.02


KEPT = [("smpte2084", "h265", "o.mp4", 16), ("smpte2084", "av1", "o.mkv", 16), ("arib-std-b67", "h265", "o.mkv", 18)]


@pytest.mark.parametrize(("transfer", "codec", "name", "code"), KEPT)
def test_kept_hdr_goes_round(tmp_path: Path, transfer: str, codec: str, name: str, code: int) -> None:
    codes = [0.1, 0.3, 0.5, 0.6, 0.7]
    source = probe(write_hdr(tmp_path / "s.mp4", transfer, codes, metadata=transfer == "smpte2084"))
    transcode(source, tmp_path / name, hdr="keep", codec=codec, quality=4)
    assert tags_of(tmp_path / name) == (9, 9, code, "yuv420p10le")
    with av.open(tmp_path / name) as container:
        luma = next(container.decode(video=0)).to_ndarray(format="gray16le")[16, 8::16] / 65472  # of full range
    assert np.abs(luma - codes).max() < 0.004
    found = probe(tmp_path / name)
    assert found.hdr is not None
    assert source.hdr is not None
    assert found.hdr.content_light == source.hdr.content_light
    if source.hdr.primaries:
        assert found.hdr.primaries is not None
        pairs = zip(found.hdr.primaries, source.hdr.primaries, strict=True)
        assert max(abs(float(one - two)) for one, two in pairs) < 1e-3
        assert float(found.hdr.max_luminance) == pytest.approx(1000, abs=1)
        assert float(found.hdr.min_luminance) == pytest.approx(0.005, abs=1e-3)


@pytest.mark.parametrize(
    ("name", "settings", "words"),
    [
        ("o.mp4", {}, "libx264 cannot keep HDR"),
        ("o.mov", {}, "prores_ks cannot keep HDR"),
        ("frames", {}, "frames cannot keep HDR"),
        ("o.mp4", {"codec": "h265", "bits": 8}, "at least 10 bits"),
    ],
)
def test_outputs_without_hdr_refuse_to_keep_it(tmp_path: Path, name: str, settings: dict[str, Any], words: str) -> None:
    clip = probe(write_hdr(tmp_path / "s.mp4", "smpte2084", [0.5]))
    with pytest.raises(ConfigError, match=words):
        resolve_hdr(Path(name), OutputConfig(hdr="keep", **settings), clip, frames=2, size=(16, 32))


def test_sdr_sources_have_no_hdr_to_keep(tmp_path: Path) -> None:
    clip = probe(media.write_video(tmp_path / "s.mp4", media.numbered_pictures(2)))
    settings, note = resolve_hdr(Path("o.mp4"), OutputConfig(hdr="keep"), clip, frames=2, size=(96, 64))
    assert settings.hdr == "tone-map"
    assert "is not HDR" in note
