"""Renders keep the bits of their source, or say before the first frame is painted what they lose."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image
from support import media
from support.hdr import write_hdr
from support.renders import frame_files, quick_config, run_folder, warnings_in

import vidnst
from vidnst.config.loader import build_config
from vidnst.errors import ConfigError
from vidnst.events import Event, FrameDone, Warned
from vidnst.media.images import read_image
from vidnst.media.input.frame_reader import FrameReader
from vidnst.media.input.probe import probe

TEN_BIT = ("-c:v", "libx265", "-x265-params", "log-level=error", "-pix_fmt", "yuv420p10le", "-crf", "8")


def pixel_format(path: Path) -> str:
    with av.open(path) as container:
        return str(container.streams.video[0].codec_context.pix_fmt)


def render(folder: Path, source: Path, name: str, **sections: Any) -> tuple[Path, list[Event]]:
    """Render a clip, painted in four evaluations, and return the output and all events."""
    events: list[Event] = []
    style = media.write_picture(folder / "style.png", media.numbered_picture(7))
    output = folder / name
    vidnst.render(source, style=style, output=output, config=quick_config(**sections), on_event=events.append)
    return output, events


def notes_before_painting(events: list[Event]) -> list[str]:
    first = next(number for number, event in enumerate(events) if isinstance(event, FrameDone))
    return [event.message for event in events[:first] if isinstance(event, Warned)]


@pytest.fixture
def ten_bit(tmp_path: Path) -> Path:
    return media.write_video(tmp_path / "s.mp4", media.numbered_pictures(3), codec=TEN_BIT)


def test_a_ten_bit_source_gives_a_ten_bit_painting(tmp_path: Path, ten_bit: Path) -> None:
    output, events = render(tmp_path, ten_bit, "o.mkv", output={"codec": "h265", "speed": "ultrafast"})
    assert pixel_format(output) == "yuv420p10le"
    assert not warnings_in(events)
    stored = read_image(min((run_folder(output) / "frames").glob("*.png")))
    assert stored.dtype == np.uint16
    assert len(np.unique(stored)) > 2 * 256  # painted with more than 8 bits, not widened afterwards


def test_lost_bits_are_named_before_painting(tmp_path: Path, ten_bit: Path) -> None:
    _, events = render(tmp_path, ten_bit, "o.gif")
    assert any("bit depth (10 bits): changed, to 8 bits" in note for note in notes_before_painting(events))


def test_the_output_of_an_eight_bit_source_may_have_ten(tmp_path: Path) -> None:
    source = media.write_video(tmp_path / "s.mp4", media.numbered_pictures(2))
    output, _ = render(tmp_path, source, "o.mp4", output={"bits": 10, "codec": "h265", "speed": "ultrafast"})
    assert pixel_format(output) == "yuv420p10le"


def test_a_resolved_render_resumes_with_the_same_bits(tmp_path: Path, ten_bit: Path) -> None:
    output, _ = render(tmp_path, ten_bit, "o.mkv", output={"codec": "h265", "speed": "ultrafast"})
    before = frame_files(run_folder(output))
    output.unlink()
    vidnst.resume(run_folder(output))
    assert pixel_format(output) == "yuv420p10le"
    assert frame_files(run_folder(output)) == before


def test_impossible_bits_end_before_anything_is_read(tmp_path: Path, ten_bit: Path) -> None:
    with pytest.raises(ConfigError, match="h264 has 8 or 10 bits, not 16"):
        render(tmp_path, ten_bit, "o.mp4", output={"bits": 16})
    assert not run_folder(tmp_path / "o.mp4").exists()


def test_the_look_of_eight_bit_renders_is_unchanged() -> None:
    assert build_config({}).look()["output"] == {"bits": 8}
    assert build_config({"output": {"bits": 10}}).look()["output"] == {"bits": 16}


def clear_pictures(count: int = 4) -> list[np.ndarray[Any, Any]]:
    """Draw numbered pictures whose right half is transparent."""
    pictures = []
    for picture in media.numbered_pictures(count):
        alpha = np.full((*picture.shape[:2], 1), 255, np.uint8)
        alpha[:, 48:] = 0
        pictures.append(np.dstack([picture, alpha]))
    return pictures


@pytest.fixture
def clear(tmp_path: Path) -> Path:
    (tmp_path / "s").mkdir()
    for index, picture in enumerate(clear_pictures()):
        Image.fromarray(picture).save(tmp_path / "s" / f"{index}.png")
    return tmp_path / "s"


@pytest.mark.parametrize("name", ["o.mov", "o.mkv", "o.webm", "frames", "o.gif"])
def test_a_painting_keeps_the_transparency_of_its_source(tmp_path: Path, clear: Path, name: str) -> None:
    output, _ = render(tmp_path, clear, name, input={"size": 64})
    clip = probe(output)
    assert clip.has_alpha
    alpha = FrameReader(replace(clip, plane="alpha")).read(2).pixels.astype(float) / np.iinfo(np.uint8).max
    alpha = alpha / (257 if clip.bit_depth == 16 else 1)
    assert alpha.shape[:2] == (42, 64)
    assert np.abs(alpha[:, 4:28] - 1).max() < 0.03
    assert np.abs(alpha[:, 36:60]).max() < 0.03


def test_lost_transparency_is_named_before_painting(tmp_path: Path, clear: Path) -> None:
    output, events = render(tmp_path, clear, "o.mp4", input={"background": "#4060a0"})
    assert any("transparency: dropped, laid over #4060a0" in note for note in notes_before_painting(events))
    stored = read_image(min((run_folder(output) / "frames").glob("*.png")))
    assert stored.shape == (64, 96, 3)


def test_the_background_is_what_is_painted(tmp_path: Path, clear: Path) -> None:
    output, _ = render(tmp_path, clear, "frames", input={"background": "#4060a0"}, optimize={"iterations": 0})
    stored = read_image(min((run_folder(output) / "frames").glob("*.png")))
    assert stored[32, 72].tolist() == [0x40, 0x60, 0xA0]


def test_registered_frames_keep_their_transparency(tmp_path: Path) -> None:
    scene = np.random.default_rng(4).integers(0, 256, (30, 40, 3)).astype(np.uint8)
    scene = np.asarray(Image.fromarray(scene).resize((320, 240), Image.Resampling.BICUBIC))
    (tmp_path / "s").mkdir()
    for index, shift in enumerate((0, 6, 12)):
        alpha = np.full((240, 320, 1), 255, np.uint8)
        alpha[:, 200:] = 0
        view = np.dstack([scene, alpha])[20:220, 20 + shift : 260 + shift]
        Image.fromarray(view).save(tmp_path / "s" / f"{index}.png")
    output, _ = render(tmp_path, tmp_path / "s", "frames", input={"registration": "ecc"}, optimize={"iterations": 0})
    clip = probe(output)
    planes = [FrameReader(replace(clip, plane="alpha")).read(index).pixels[..., 0] for index in range(3)]
    assert clip.width < 240  # cropped
    edges = [int((plane[100] > 127).sum()) for plane in planes]
    assert max(edges) - min(edges) <= 1  # the same place of the scene


def test_an_hdr_source_is_named_and_painted_as_sdr(tmp_path: Path) -> None:
    source = write_hdr(tmp_path / "s.mp4", "smpte2084", [0.2, 0.4, 0.5, 0.6, 0.7])
    output, events = render(tmp_path, source, "o.mp4", output={"codec": "h265", "speed": "ultrafast"})
    assert any("tone-mapped to SDR" in note for note in notes_before_painting(events))
    assert probe(output).hdr is None
    assert pixel_format(output) == "yuv420p10le"


def test_a_painting_of_hdr_may_be_hdr(tmp_path: Path) -> None:
    source = write_hdr(tmp_path / "s.mp4", "smpte2084", [0.2, 0.4, 0.5, 0.6, 0.7])
    options = {"codec": "h265", "speed": "ultrafast", "hdr": "keep"}
    output, _ = render(tmp_path, source, "o.mp4", output=options, optimize={"iterations": 0})
    found, wanted = (FrameReader(probe(path)).read(1).pixels / 65535 for path in (output, source))
    assert probe(output).hdr is not None
    assert np.abs(found - wanted)[16, 8::16].max() < 0.02
