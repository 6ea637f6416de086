"""Chroma subsampling: read from sources of all kinds, kept where players cope or as asked, said where it is lost."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pillow_heif
import pytest
from PIL import Image
from support import kept_media, media

from vidnst.config import OutputConfig, RenderConfig
from vidnst.errors import ConfigError
from vidnst.frames import ChromaSteps, ClipInfo
from vidnst.media.images import write_image
from vidnst.media.input.probe import probe
from vidnst.media.output.chroma import chroma_name, loses_chroma, resolve_chroma
from vidnst.media.output.fates import Fate
from vidnst.media.output.formats import choose_format
from vidnst.media.output.resolved_output import resolve_output

CODES: dict[str, ChromaSteps | None] = {
    "yuv420p": (2, 2),
    "yuv422p": (2, 1),
    "yuv444p": (1, 1),
    "yuv440p": (1, 2),
    "yuv411p": (4, 1),
    "yuv410p": (4, 4),
    "yuv422p10le": (2, 1),
    "yuva444p10le": (1, 1),
    "bgr0": (1, 1),
    "gray": None,
    "gray16le": None,
}


def write_clip(path: Path, pixel_format: str, *, codec: str = "ffv1", options: tuple[str, ...] = ()) -> Path:
    source = "testsrc2=s=64x48:r=10:d=0.3"
    media.run_ffmpeg("-f", "lavfi", "-i", source, "-c:v", codec, "-pix_fmt", pixel_format, *options, path)
    return path


@pytest.mark.parametrize("pixel_format", CODES)
def test_subsampling_of_videos_is_read(pixel_format: str, tmp_path: Path) -> None:
    assert probe(write_clip(tmp_path / "a.mkv", pixel_format)).chroma == CODES[pixel_format]


def test_subsampling_turns_with_the_frames(tmp_path: Path) -> None:
    flat = write_clip(tmp_path / "a.mp4", "yuv422p", codec="libx264")
    media.run_ffmpeg("-display_rotation", "90", "-i", flat, "-c", "copy", tmp_path / "b.mp4")
    assert probe(tmp_path / "b.mp4").chroma == (1, 2)
    target, how = resolved(tmp_path / "b.mp4", "o.mov")
    assert (target, how) == ("yuv444p10le", "")  # 4:2:2 would lose half of the lines


def noise() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 48, 3)).astype(np.uint8))


PICTURES: dict[str, tuple[dict[str, Any], ChromaSteps | None]] = {
    "a.jpg": ({"subsampling": 0}, (1, 1)),
    "b.jpg": ({"subsampling": 1}, (2, 1)),
    "c.jpg": ({"subsampling": 2}, (2, 2)),
    "d.webp": ({"lossless": True}, (1, 1)),
    "e.webp": ({}, (2, 2)),
    "f.png": ({}, (1, 1)),
    "g.tif": ({}, (1, 1)),
    "h.avif": ({"subsampling": "4:2:0"}, (2, 2)),
    "i.avif": ({"subsampling": "4:4:4"}, (1, 1)),
    "j.bmp": ({}, (1, 1)),
}


@pytest.mark.parametrize("name", PICTURES)
def test_subsampling_of_pictures_is_read(name: str, tmp_path: Path) -> None:
    options, wanted = PICTURES[name]
    noise().save(tmp_path / name, **options)
    assert probe(tmp_path / name).chroma == wanted


def test_turned_and_grey_pictures(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    noise().save(tmp_path / "a.jpg", subsampling=1, exif=exif)
    assert probe(tmp_path / "a.jpg").chroma == (1, 2)
    for name in ("b.png", "c.jpg", "d.tif"):
        noise().convert("L").save(tmp_path / name)
        assert probe(tmp_path / name).chroma is None


@pytest.mark.parametrize(("chroma", "wanted"), [(444, (1, 1)), (422, (2, 1)), (420, (2, 2))])
def test_subsampling_of_heic_is_read(chroma: int, wanted: ChromaSteps, tmp_path: Path) -> None:
    pillow_heif.from_pillow(noise()).save(tmp_path / "a.heic", quality=80, chroma=chroma)
    assert probe(tmp_path / "a.heic").chroma == wanted


@pytest.mark.parametrize(("lossless", "wanted"), [(True, (1, 1)), (False, (2, 2))])
def test_subsampling_of_animated_webp_is_read(lossless: bool, wanted: ChromaSteps, tmp_path: Path) -> None:
    frames = [noise(), noise().rotate(180)]
    frames[0].save(tmp_path / "a.webp", save_all=True, append_images=frames[1:], lossless=lossless)
    assert probe(tmp_path / "a.webp").chroma == wanted


def resolved(source: Path, output: str, **settings: Any) -> tuple[str, str]:
    """Return the pixel format of an output, and what is said of its chroma."""
    clip = probe(source)
    size = clip.width, clip.height
    config = RenderConfig(output=OutputConfig(**settings))
    found = resolve_output(Path(output), config, clip, frames=clip.frame_count, size=size)
    target = choose_format(Path(output), found.settings, frames=clip.frame_count, width=size[0], height=size[1])
    return target.pixel_format, found.chroma


@pytest.mark.parametrize(
    ("source", "output", "pixel_format", "words"),
    [
        ("yuv444p", "o.mov", "yuv444p10le", ""),
        ("bgr0", "o.mov", "yuv444p10le", ""),
        ("yuv422p", "o.mov", "yuv422p10le", ""),
        ("yuv411p", "o.mov", "yuv422p10le", ""),
        ("yuv420p", "o.mov", "yuv422p10le", ""),
        ("gray", "o.mov", "yuv422p10le", ""),
        ("yuv444p", "o.mkv", "bgr0", ""),
        ("yuv444p", "o.gif", "", ""),
        ("yuv444p", "o.apng", "rgb24", ""),
        ("yuv420p", "o.mp4", "yuv420p", ""),
        ("gray", "o.mp4", "yuv420p", ""),
        ("yuv444p", "o.mp4", "yuv420p", "to 4:2:0, which all players show; --set output.chroma=444 keeps it"),
        ("yuv422p", "o.webm", "yuv420p", "to 4:2:0, which all players show; --set output.chroma=422 keeps it"),
        ("yuv411p", "o.mp4", "yuv420p", "to 4:2:0, which all players show; --set output.chroma=422 keeps it"),
        ("yuv440p", "o.mp4", "yuv420p", "--set output.chroma=444 keeps it"),
        ("bgr0", "o.webp", "bgra", "to 4:2:0; .mov (prores) and .mkv (ffv1) keep it"),
    ],
)
def test_auto_keeps_what_players_cope_with(
    source: str, output: str, pixel_format: str, words: str, tmp_path: Path
) -> None:
    found, how = resolved(write_clip(tmp_path / "s.mkv", source), output)
    assert found == pixel_format
    assert words in how
    assert bool(how) == bool(words)


KEEPING: dict[str, tuple[dict[str, Any], str]] = {
    "a.mp4": ({"codec": "h264", "chroma": "444"}, "yuv444p"),
    "b.mp4": ({"codec": "h264", "chroma": "422"}, "yuv422p"),
    "c.mp4": ({"codec": "h265", "chroma": "444"}, "yuv444p"),
    "d.mkv": ({"codec": "h265", "chroma": "422", "bits": 10}, "yuv422p10le"),
    "e.webm": ({"chroma": "444"}, "yuv444p"),
    "f.webm": ({"chroma": "422", "bits": 10}, "yuv422p10le"),
    "g.mp4": ({"codec": "av1", "chroma": "444"}, "yuv444p"),
    "h.webm": ({"codec": "av1", "chroma": "422", "bits": 10}, "yuv422p10le"),
    "i.mov": ({}, "yuv444p12le"),  # libav decodes ProRes 4444 with 12 bits
    "j.mov": ({"chroma": "422"}, "yuv422p10le"),
    "k.mkv": ({"chroma": "422"}, "yuv422p"),
}


@pytest.mark.parametrize("name", KEEPING)
def test_outputs_have_the_chroma_that_is_asked_for(name: str, tmp_path: Path) -> None:
    settings, pixel_format = KEEPING[name]
    (tmp_path / "frames").mkdir()
    source = write_clip(tmp_path / "s.mkv", "bgr0")
    clip, rows = kept_media.convert(source, tmp_path / name, tmp_path / "frames", **settings)
    with av.open(tmp_path / name) as container:
        frames = list(container.decode(video=0))
    assert {frame.format.name for frame in frames} == {pixel_format}
    assert len(frames) == clip.frame_count
    [row] = [row for row in rows if row.name == "chroma"]
    assert row.value == "4:4:4"
    assert (row.fate is Fate.KEPT) == ("444" in pixel_format)
    assert row.asked == (settings.get("chroma") == "422")


@pytest.mark.parametrize(
    ("name", "settings", "words"),
    [
        ("o.mov", {"chroma": "420"}, "prores has no 420; it has 422, 444"),
        ("o.gif", {"chroma": "444"}, "gif has no 444; leave it out"),
        ("o_%d.png", {"chroma": "420"}, r"o_%d\.png has 444, not 420"),
        ("frames", {"chroma": "422"}, "frames has 444, not 422"),
        ("o_%d.webp", {"chroma": "444"}, "has 420, not 444"),
        ("o.mp4", {"codec": "av1", "chroma": "444", "speed": "10"}, "av1 has no preset '10'; take one of 0, 1, 2"),
        ("o.mp4", {"codec": "av1", "chroma": "444", "hardware": "vaapi"}, "vaapi has 420 only"),
    ],
)
def test_impossible_chroma_is_refused(name: str, settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        choose_format(Path(name), OutputConfig(**settings), frames=3, width=64, height=48)


def test_av1_with_full_chroma_cannot_keep_hdr(tmp_path: Path) -> None:
    clip = probe(kept_media.write_sources(tmp_path)["HDR"])
    config = RenderConfig(output=OutputConfig(codec="av1", chroma="444", hdr="keep"))
    with pytest.raises(ConfigError, match=r"libaom-av1, which AV1 needs for 444, cannot keep HDR"):
        resolve_output(Path("o.mkv"), config, clip, frames=clip.frame_count, size=(clip.width, clip.height))


def test_alpha_decides_before_chroma(tmp_path: Path) -> None:
    clip = replace(probe(write_clip(tmp_path / "s.mkv", "bgr0")), has_alpha=True)
    size = (clip.width, clip.height)
    found = resolve_output(Path("o.webm"), RenderConfig(), clip, frames=3, size=size)
    assert (found.settings.alpha, found.chroma) == ("keep", "to 4:2:0; .mov (prores) and .mkv (ffv1) keep it")


def test_jpeg_files_keep_full_chroma(tmp_path: Path) -> None:
    write_image(tmp_path / "a.jpg", np.asarray(noise()))
    assert probe(tmp_path / "a.jpg").chroma == (1, 1)


def of(chroma: ChromaSteps | None, clip: ClipInfo) -> str:
    arguments: dict[str, Any] = {"frames": 3, "size": (64, 48)}
    return resolve_chroma(Path("o.webm"), OutputConfig(), replace(clip, chroma=chroma), **arguments)[1]


def test_names_and_losses(tmp_path: Path) -> None:
    assert [chroma_name(steps) for steps in ((2, 1), None, (1, 4))] == ["4:2:2", "grey", "one sample for 1x4 pixels"]
    assert loses_chroma((4, 1), (2, 2))
    assert not loses_chroma((4, 1), (2, 1))
    clip = probe(write_clip(tmp_path / "s.mkv", "gray"))
    assert (of(None, clip), of((2, 2), clip), of((1, 1), clip)[:8]) == ("", "", "to 4:2:0")
