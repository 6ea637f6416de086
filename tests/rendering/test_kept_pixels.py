"""Renders keep the bits of their source, or say before the first frame is painted what they lose."""

from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from support import media
from support.renders import frame_files, quick_config, run_folder, warnings_in

import vidnst
from vidnst.config.loader import build_config
from vidnst.errors import ConfigError
from vidnst.events import Event, FrameDone, Warned
from vidnst.media.images import read_image

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
    assert any("has 10 bits per channel, and o.gif keeps 8" in note for note in notes_before_painting(events))


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
