"""Transparent sources: laid over the background as they are read, and kept in every output that can hold it."""

from collections.abc import Generator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from support import media

from vidnst.config import InputConfig, OutputConfig
from vidnst.errors import ConfigError
from vidnst.frames import AlphaPlane, ClipInfo, to_bits
from vidnst.media.images import read_image, read_image_alpha, write_png
from vidnst.media.input.alpha import over_background, uncovered
from vidnst.media.input.frame_reader import FrameReader
from vidnst.media.input.probe import probe
from vidnst.media.output.bit_depth import resolve_bits
from vidnst.media.output.encode import encode
from vidnst.media.output.transparency import resolve_alpha

BLUE = (0, 0, 255)
RED = np.array([200, 40, 40])
SHARES = (0, 96, 160, 255)
"""Alpha of four columns of a picture."""


def clear_picture(index: int = 0) -> NDArray[np.uint8]:
    """Draw 64x32 RGBA: one red, its alpha in four columns, and an opaque bar that moves."""
    pixels = np.zeros((32, 64, 4), np.uint8)
    pixels[..., :3] = RED
    pixels[..., 3] = np.repeat(SHARES, 16)[None]
    pixels[8 + 2 * index : 10 + 2 * index] = (20, 220, 20, 255)
    return pixels


def write_clip(path: Path, *codec: str, opaque: bool = False, frames: int = 3) -> Path:
    pictures = [clear_picture(index) for index in range(frames)]
    for picture in pictures if opaque else ():
        picture[..., 3] = 255
    raw = ("-f", "rawvideo", "-pix_fmt", "rgba", "-s", "64x32", "-r", "10", "-i", "pipe:0")
    media.run_ffmpeg(*raw, *codec, path, data=b"".join(picture.tobytes() for picture in pictures))
    return path


SOURCES = {
    "p.mov": ("-c:v", "prores_ks", "-pix_fmt", "yuva444p10le"),
    "q.mov": ("-c:v", "qtrle"),
    "n.mov": ("-c:v", "png"),
    "v.webm": ("-c:v", "libvpx-vp9", "-pix_fmt", "yuva420p", "-b:v", "0", "-crf", "4"),
    "w.webm": ("-c:v", "libvpx", "-pix_fmt", "yuva420p", "-auto-alt-ref", "0", "-b:v", "4M", "-crf", "4"),
    "f.mkv": ("-c:v", "ffv1", "-pix_fmt", "bgra"),
    "a.apng": ("-plays", "0"),
}


def colours(pixels: NDArray[Any]) -> NDArray[Any]:
    """Return the middle of each column, 8 bits."""
    return to_bits(pixels, 8)[24, 8::16].astype(float)


def alpha_of(clip: ClipInfo, index: int = 0) -> NDArray[Any]:
    return FrameReader(replace(clip, plane="alpha")).read(index).pixels


@pytest.mark.parametrize("name", SOURCES)
def test_transparent_video_lies_over_the_background(tmp_path: Path, name: str) -> None:
    clip = probe(write_clip(tmp_path / name, *SOURCES[name]), background=BLUE)
    assert clip.has_alpha
    assert clip.frame_count == 3
    share = np.array(SHARES)[:, None] / 255
    assert np.abs(colours(FrameReader(clip).read(0).pixels) - (RED * share + np.array(BLUE) * (1 - share))).max() < 9
    assert np.abs(colours(alpha_of(clip)) - np.array(SHARES)[:, None]).max() < 4


def test_transparent_gif_lies_over_the_background(tmp_path: Path) -> None:
    clear, full = clear_picture(), clear_picture()
    clear[..., 3], full[..., 3] = np.where(clear[..., 3] < 128, 0, 255), 255
    pictures = [Image.fromarray(clear), Image.fromarray(full)]
    pictures[0].save(tmp_path / "s.gif", save_all=True, append_images=pictures[1:], duration=100, disposal=2)
    clip = probe(tmp_path / "s.gif", background=BLUE)
    assert clip.has_alpha
    assert np.abs(colours(FrameReader(clip).read(0).pixels)[0] - BLUE).max() < 2
    assert colours(alpha_of(clip))[:, 0].tolist() == [0, 0, 255, 255]


@pytest.mark.parametrize("name", ["p.mov", "v.webm", "f.mkv", "a.apng"])
def test_opaque_video_counts_as_opaque(tmp_path: Path, name: str) -> None:
    clip = probe(write_clip(tmp_path / name, *SOURCES[name], opaque=True))
    assert not clip.has_alpha
    assert clip.decoder.library == ("libav" if name == "p.mov" else "opencv")


def write_stills(folder: Path, *, mode: str = "RGBA") -> list[Path]:
    folder.mkdir()
    paths = [folder / f"{index}.png" for index in range(2)]
    for index, path in enumerate(paths):
        Image.fromarray(clear_picture(index)).convert(mode).save(path)
    return paths


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparent_pictures_lie_over_the_background(tmp_path: Path, mode: str) -> None:
    write_stills(tmp_path / "s", mode=mode)
    clip = probe(tmp_path / "s", background=BLUE)
    assert clip.has_alpha
    pixels = colours(FrameReader(clip).read(0).pixels)
    assert np.abs(pixels[0] - BLUE).max() == 0
    assert np.abs(colours(alpha_of(clip))[:, 0] - SHARES).max() <= (0 if mode != "P" else 20)


def test_opaque_pictures_with_alpha_count_as_opaque(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    Image.fromarray(clear_picture()).convert("RGB").convert("RGBA").save(tmp_path / "s" / "0.png")
    assert not probe(tmp_path / "s").has_alpha


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_uncovering_is_the_inverse_of_covering(kind: type) -> None:
    rng = np.random.default_rng(2)
    top = np.iinfo(kind).max
    pixels = rng.integers(0, top + 1, (40, 50, 3)).astype(kind)
    alpha = rng.integers(0, top + 1, (40, 50)).astype(kind)
    covered = over_background(pixels, alpha, BLUE)
    again = over_background(uncovered(covered, alpha, BLUE), alpha, BLUE)
    assert np.abs(again.astype(int) - covered).max() <= 1
    deep = alpha > top // 2
    assert np.abs(uncovered(covered, alpha, BLUE)[deep].astype(int) - pixels[deep]).max() <= 2


def test_a_half_transparent_grey_over_white() -> None:
    pixels, alpha = np.full((2, 2, 3), 100, np.uint8), np.full((2, 2), 128, np.uint8)
    assert over_background(pixels, alpha, (255, 255, 255))[0, 0].tolist() == [177, 177, 177]  # 100 * 128 + 255 * 127


def transcode(source: Path, output: Path, *, frames: int | None = None, **settings: Any) -> tuple[ClipInfo, str]:
    """Write the frames of a source as they are, with its alpha, as a render without painting does."""
    clip = probe(source, background=BLUE)
    stop = frames or clip.frame_count
    size = (clip.width, clip.height)
    config, how = resolve_alpha(output, OutputConfig(**settings), clip, background="blue", frames=stop, size=size)
    config, more = resolve_bits(output, config, clip, frames=stop, size=size)
    folder = output.parent / "finished"
    folder.mkdir()
    paths = []
    for frame in FrameReader(clip, end=stop):
        paths.append(folder / f"{frame.index}.png")
        write_png(paths[-1], frame.pixels, bits=config.picture_bits)

    def planes() -> Generator[AlphaPlane, None, None]:
        for frame in FrameReader(replace(clip, plane="alpha"), end=stop):
            yield frame.pixels[..., 0]

    alpha = planes if config.keeps_alpha else None
    encode(paths, output, clip=clip, start=0, end=stop, settings=config, alpha=alpha)
    return clip, " ".join(filter(None, (how, more)))


KEPT: dict[str, tuple[dict[str, Any], int]] = {
    "o.mov": ({}, 4),
    "o.webm": ({"quality": 4}, 6),
    "p.mkv": ({"codec": "vp9", "quality": 4}, 6),
    "o.mkv": ({}, 1),
    "q.mkv": ({"chroma": "444"}, 2),
    "r.mkv": ({"bits": 10}, 1),
    "s.mkv": ({"bits": 16}, 1),
    "q.mov": ({"bits": 10}, 4),
    "o.apng": ({}, 1),
    "p.apng": ({"bits": 16}, 1),
}
"""Outputs with settings and the most that alpha may differ, of 255."""


@pytest.mark.parametrize("name", KEPT)
def test_transparency_is_kept_in_videos(tmp_path: Path, name: str) -> None:
    settings, tolerance = KEPT[name]
    source, notes = transcode(write_clip(tmp_path / "s.mov", *SOURCES["q.mov"]), tmp_path / name, **settings)
    found = probe(tmp_path / name, background=BLUE)
    assert not notes
    assert found.has_alpha
    for index in range(3):
        difference = to_bits(alpha_of(found, index), 8).astype(float) - alpha_of(source, index)
        assert np.abs(difference[:, 8::16]).max() <= tolerance
    before, after = (FrameReader(clip).read(0).pixels for clip in (source, found))
    assert np.abs(colours(before) - colours(after)).max() < 6
    # The stored colour is the source's own: no fringe of the background.
    plain = colours(FrameReader(replace(found, background=(255, 255, 255))).read(0).pixels)
    share = np.array(SHARES)[:, None] / 255
    assert np.abs(plain - (RED * share + 255 * (1 - share))).max() < 7


def test_transparency_is_kept_in_a_gif(tmp_path: Path) -> None:
    source, notes = transcode(write_clip(tmp_path / "s.mov", *SOURCES["q.mov"]), tmp_path / "o.gif")
    assert "either opaque or transparent" in notes
    found = probe(tmp_path / "o.gif", background=BLUE)
    for index in range(3):
        wanted = np.where(alpha_of(source, index) < 128, 0, 255)
        assert np.array_equal(alpha_of(found, index), wanted)


def test_transparency_is_kept_in_animated_webp(tmp_path: Path) -> None:
    transcode(write_clip(tmp_path / "s.mov", *SOURCES["q.mov"]), tmp_path / "o.webp")
    with Image.open(tmp_path / "o.webp") as image:
        assert image.n_frames == 3
        for index in range(3):
            image.seek(index)
            alpha = np.asarray(image.convert("RGBA"))[..., 3]
            assert np.abs(alpha[:, 8::16].astype(int) - clear_picture(index)[:, 8::16, 3]).max() <= 2


@pytest.mark.parametrize("bits", [8, 16])
def test_transparency_is_kept_in_a_folder(tmp_path: Path, bits: int) -> None:
    write_stills(tmp_path / "s")
    transcode(tmp_path / "s", tmp_path / "frames", bits=bits)
    for index in range(2):
        path = tmp_path / "frames" / f"{index:06d}.png"
        stored = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        assert stored.dtype.itemsize * 8 == bits
        assert np.array_equal(to_bits(stored[..., 3:], 8)[..., 0], clear_picture(index)[..., 3])
        visible = stored[24, 24:, 2::-1] / (np.iinfo(stored.dtype).max / 255)
        assert np.abs(visible - clear_picture()[24, 24:, :3]).max() <= 1.5


@pytest.mark.parametrize("name", ["o.png", "o.tif", "o.webp"])
def test_transparency_is_kept_in_one_picture(tmp_path: Path, name: str) -> None:
    source = write_stills(tmp_path / "s")[0]
    transcode(source, tmp_path / name)
    alpha = read_image_alpha(tmp_path / name)
    assert alpha is not None
    assert np.array_equal(alpha, clear_picture()[..., 3])
    assert np.abs(colours(read_image(tmp_path / name))[3] - RED).max() < 8


@pytest.mark.parametrize(
    ("name", "settings", "words"),
    [
        ("o.mp4", {}, "laid over blue (--background), since o.mp4 (libx264) cannot hold it"),
        ("o.mkv", {"codec": "av1"}, "cannot hold it"),
        ("o.mp4", {"codec": "vp9"}, "as WebM can"),
        ("o.webm", {"bits": 10}, "with 10 bits"),
        ("o.mov", {"chroma": "422"}, "with 422"),
    ],
)
def test_lost_transparency_is_named(tmp_path: Path, name: str, settings: dict[str, Any], words: str) -> None:
    clip = probe(write_clip(tmp_path / "s.mov", *SOURCES["q.mov"]))
    arguments: dict[str, Any] = {"background": "blue", "frames": 3, "size": (64, 32)}
    config, how = resolve_alpha(Path(name), OutputConfig(**settings), clip, **arguments)
    assert config.alpha == "drop"
    assert words in how
    with pytest.raises(ConfigError, match=r"output\.alpha"):
        resolve_alpha(Path(name), OutputConfig(alpha="keep", **settings), clip, **arguments)
    dropped = resolve_alpha(Path(name), OutputConfig(alpha="drop", **settings), clip, **arguments)
    assert dropped[1] == "laid over blue (--background)"


def test_vp9_with_alpha_has_eight_bits(tmp_path: Path) -> None:
    _, notes = transcode(write_clip(tmp_path / "s.mov", *SOURCES["p.mov"]), tmp_path / "o.webm", quality=4)
    assert "to 8 bits" in notes
    assert probe(tmp_path / "o.webm").has_alpha


def test_an_opaque_source_gives_no_alpha(tmp_path: Path) -> None:
    transcode(write_clip(tmp_path / "s.mkv", *SOURCES["f.mkv"], opaque=True), tmp_path / "o.mkv")
    with av.open(tmp_path / "o.mkv") as container:
        assert container.streams.video[0].codec_context.pix_fmt == "bgr0"


@pytest.mark.parametrize(("text", "rgb"), [("white", (255, 255, 255)), ("#0a0B0c", (10, 11, 12)), ("grey", (128,) * 3)])
def test_background_is_a_colour(text: str, rgb: tuple[int, int, int]) -> None:
    assert InputConfig(background=text).background_rgb == rgb


@pytest.mark.parametrize("text", ["transparent", "#12", "#gggggg", "", "white\n"])
def test_other_words_are_no_background(text: str) -> None:
    with pytest.raises(ConfigError, match="background"):
        InputConfig(background=text)


@pytest.mark.parametrize("name", ["o_%04d.png", "o.####.tif", "o_%d.webp"])
def test_numbered_files_keep_transparency(tmp_path: Path, name: str) -> None:
    clip, how = transcode(write_clip(tmp_path / "s.mov", *SOURCES["q.mov"]), tmp_path / name)
    assert how == ""
    back = probe(tmp_path / name, background=BLUE)
    assert (back.frame_count, back.has_alpha) == (clip.frame_count, True)
    for plane in ("alpha", "colour"):
        readers = [FrameReader(replace(one, plane=plane)) for one in (clip, back)]  # type: ignore[arg-type]
        for index in range(clip.frame_count):
            wanted, found = (reader.read(index).pixels.astype(int) for reader in readers)
            error = np.abs(wanted - found)
            assert error.mean() < 8 if name.endswith(".webp") and plane == "colour" else error.max() <= 1


def test_small_changes_of_deep_alpha_are_verified_as_apng(tmp_path: Path) -> None:
    pictures = [np.full((48, 64, 3), 90, np.uint8) for _ in range(5)]
    for number, picture in enumerate(pictures):
        picture[8:16, 8 * number : 8 * number + 8] = 200
    pts = [Fraction(ms, 1000) for ms in (0, 40, 120, 240, 400)]
    flat = media.write_video(tmp_path / "f.mkv", pictures, codec=media.FFV1, pts_seconds=pts)
    source = tmp_path / "s.mkv"
    see_through = (
        "format=rgba,geq=r='r(X,Y)':g='g(X,Y)':b='b(X,Y)':a='if(lt(X,20),0,if(lt(X,40),128,255))',format=yuva444p10le"
    )
    media.run_ffmpeg("-i", flat, "-vf", see_through, "-c:v", "ffv1", "-fps_mode", "passthrough", source)
    clip, how = transcode(source, tmp_path / "o.apng")
    assert how == ""
    found = probe(tmp_path / "o.apng")
    assert (found.frame_count, found.bit_depth, found.has_alpha) == (clip.frame_count, 16, True)
