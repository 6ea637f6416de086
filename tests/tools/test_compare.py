"""Comparison of clips, pictures and runs side by side: columns, sheets, differences and zooms."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from support.media import (
    FFV1,
    UNEVEN_PTS,
    numbered_pictures,
    painting,
    positions_of,
    read_index,
    read_picture,
    write_picture,
    write_pictures,
    write_video,
)
from support.renders import still_config

import vidnst
from vidnst.config.loader import with_settings
from vidnst.errors import CancelledError, ConfigError, OutputError, SourceError, VidnstError
from vidnst.events import Event, Stage, Warned
from vidnst.frames import ClipInfo
from vidnst.media.draw.contact_sheet import GAP_PX
from vidnst.media.input.frame_reader import FrameReader
from vidnst.media.input.probe import probe
from vidnst.tools.preview.compare import ColumnLayout, absolute_difference
from vidnst.tools.preview.video_writer import drawn_clip

Picture = NDArray[np.uint8]
STRIP_PX = 22
"""Above the columns, for the labels."""


def frames_of(path: Path) -> list[Picture]:
    return [np.asarray(frame.pixels, np.uint8) for frame in FrameReader(probe(path))]


def columns(frame: Picture, *widths: int, height: int = 64) -> list[Picture]:
    starts = [sum(widths[:number]) + GAP_PX * number for number in range(len(widths))]
    return [frame[STRIP_PX : STRIP_PX + height, x : x + width] for x, width in zip(starts, widths, strict=True)]


@pytest.fixture
def first(tmp_path: Path) -> Path:
    return write_video(tmp_path / "a.mkv", numbered_pictures(6), codec=FFV1, rate=12)


@pytest.fixture
def second(tmp_path: Path) -> Path:
    write_pictures(tmp_path / "b", [255 - pixels for pixels in numbered_pictures(6)])
    return tmp_path / "b"


def test_columns_show_same_frame_under_labels(first: Path, second: Path, tmp_path: Path) -> None:
    output = vidnst.compare([first, second, first], output=tmp_path / "side.mkv")
    shown = frames_of(output)
    assert len(shown) == 6
    assert probe(output).rate == 12
    for index, frame in enumerate(shown):
        one, two, three = columns(frame, 96, 96, 96)
        assert np.array_equal(one, numbered_pictures(6)[index])
        assert np.array_equal(two, 255 - numbered_pictures(6)[index])
        assert np.array_equal(three, one)
        for x in (0, 96 + GAP_PX, 2 * (96 + GAP_PX)):
            assert (frame[:STRIP_PX, x : x + 96] < 128).any(), "a label is missing"


def test_sheet_rows_are_evenly_spread_frames(first: Path, second: Path, tmp_path: Path) -> None:
    sheet = read_picture(vidnst.compare([first, second], output=tmp_path / "sheet.png", count=2))
    rows = []
    for index in (1, 4):
        ((y, x),) = positions_of(numbered_pictures(6)[index], sheet)
        ((other_y, other_x),) = positions_of(255 - numbered_pictures(6)[index], sheet)
        assert (other_y, other_x) == (y, x + 96 + GAP_PX)
        rows.append(y)
    assert rows == sorted(rows)


def test_times_of_first_clip_and_length_of_shortest(tmp_path: Path, second: Path) -> None:
    uneven = write_video(tmp_path / "uneven.mkv", numbered_pictures(8), codec=FFV1, pts_seconds=UNEVEN_PTS)
    events: list[Event] = []
    output = vidnst.compare([uneven, second], output=tmp_path / "side.mkv", on_event=events.append)
    clip = probe(output)
    assert [at - clip.pts_seconds[0] for at in clip.pts_seconds] == pytest.approx([float(at) for at in UNEVEN_PTS[:6]])
    (warning,) = [event for event in events if isinstance(event, Warned)]
    assert "uneven.mkv has 8, b has 6" in str(warning)
    assert "first 6" in str(warning)


def test_difference_is_black_if_equal_else_amplified(first: Path, second: Path, tmp_path: Path) -> None:
    alike = vidnst.compare([first, first], output=tmp_path / "alike.mkv", difference=True)
    assert all(columns(frame, 96, 96, 96)[2].max() == 0 for frame in frames_of(alike))
    apart = vidnst.compare([first, second], output=tmp_path / "apart.mkv", difference=True, gain=0.5)
    for frame in frames_of(apart):
        one, two, away = columns(frame, 96, 96, 96)
        assert np.abs(away - np.abs(one.astype(float) - two) / 2).max() <= 0.5
    left = np.full((4, 4, 3), 100, np.uint8)
    assert (absolute_difference(left, left + 3, gain=8) == 24).all()
    assert (absolute_difference(left, left - 90, gain=8) == 255).all()


def test_zoom_enlarges_by_whole_factor(first: Path, tmp_path: Path) -> None:
    sheet = read_picture(vidnst.compare([first, first], output=tmp_path / "s.png", zoom=(10, 20, 24, 16), count=1))
    part = np.kron(numbered_pictures(6)[3][20:36, 10:34], np.ones((4, 4, 1), np.uint8))
    assert len(positions_of(part, sheet)) == 2


def test_zoom_is_relative_to_frame_size() -> None:
    layout = ColumnLayout(clip_of(96, 64), zoom=(48, 32, 24, 16))
    large = np.zeros((128, 192, 3), np.uint8)
    large[64:96, 96:144] = 200
    shown = layout.scale(large)
    assert shown.shape == (64, 96, 3)
    assert (shown == 200).all()


def test_columns_have_one_height(first: Path, tmp_path: Path) -> None:
    large = write_video(tmp_path / "large.mkv", numbered_pictures(6, (192, 128)), codec=FFV1)
    frame = frames_of(vidnst.compare([first, large], output=tmp_path / "side.mkv"))[2]
    one, two = columns(frame, 96, 96)
    assert np.array_equal(one, numbered_pictures(6)[2])
    assert read_index(two) == 2
    frame = frames_of(vidnst.compare([first, large], output=tmp_path / "tall.mkv", height=128))[2]
    assert np.array_equal(columns(frame, 192, 192, height=128)[1], numbered_pictures(6, (192, 128))[2])


def test_source_column_starts_where_run_started(tmp_path: Path) -> None:
    folder = tmp_path / "frames"
    write_pictures(folder, numbered_pictures(9))
    style = write_picture(tmp_path / "style.png", painting(0))
    config = with_settings(
        still_config(iterations=1), {"input.start": "3", "input.end": "7", "schedule.kind": "independent"}
    )
    for name, settings in (("x", {}), ("y", {"output.keep_frames": True, "optimize.seed": 1})):
        vidnst.render(folder, style=style, output=tmp_path / f"{name}.mkv", config=with_settings(config, settings))
    kept = tmp_path / "y.mkv.vidnst"
    output = vidnst.compare([tmp_path / "x.mkv", kept], source=folder, output=tmp_path / "side.mkv")
    shown = frames_of(output)
    assert len(shown) == 4
    for index, frame in enumerate(shown):
        source, one, two = columns(frame, 96, 96, 96)
        assert np.array_equal(source, numbered_pictures(9)[3 + index])
        assert read_index(one) == read_index(two) == 3 + index
    moved = vidnst.compare(
        [tmp_path / "x.mkv", kept], source=folder, start="5", output=tmp_path / "moved.mkv", height=64
    )
    assert read_index(columns(frames_of(moved)[0], 96)[0]) == 5
    with pytest.raises(SourceError, match="has 3 frames from frame 6 on, but 4 are shown"):
        vidnst.compare([tmp_path / "x.mkv", kept], source=folder, start="6", output=tmp_path / "late.mkv")


def test_source_column_is_deflickered_as_rendered(tmp_path: Path) -> None:
    folder = tmp_path / "frames"
    write_pictures(
        folder,
        [
            (pixels * gain).astype(np.uint8)
            for pixels, gain in zip(numbered_pictures(5), (1, 0.6, 1, 0.6, 1), strict=True)
        ],
    )
    config = with_settings(still_config(iterations=0), {"input.deflicker": 5})
    vidnst.render(folder, style=(), output=tmp_path / "x.mkv", config=config)
    output = vidnst.compare([tmp_path / "x.mkv", tmp_path / "x.mkv"], source=folder, output=tmp_path / "side.mkv")
    for frame in frames_of(output):
        source, one, _ = columns(frame, 96, 96, 96)
        assert np.array_equal(source, one)


def clip_of(width: int, height: int) -> ClipInfo:
    return drawn_clip("x", 1, (width, height), rate=Fraction(25))


@pytest.mark.parametrize(
    ("names", "more", "error", "words"),
    [
        (["a.mkv"], {}, ConfigError, "at least two"),
        (["a.mkv", "gone.mp4"], {}, SourceError, "gone.mp4"),
        (["a.mkv", "b", "a.mkv"], {"difference": True}, ConfigError, "of two, not of 3"),
        (["a.mkv", "b"], {"labels": ["one"]}, ConfigError, "1 labels for 2"),
        (["a.mkv", "b"], {"zoom": (90, 0, 20, 10)}, ConfigError, "zoom 90,0,20,10"),
        (["a.mkv", "b"], {"zoom": (0, 0, 0, 10)}, ConfigError, "zoom"),
        (["a.mkv", "b"], {"height": 0}, ConfigError, "height"),
        (["a.mkv", "b"], {"output": "s.png", "count": 0}, ConfigError, "0 rows"),
        (["a.mkv", "b"], {"source": "gone.mp4"}, SourceError, "gone.mp4"),
        (["a.mkv", "b"], {"output": "s.xyz"}, OutputError, "xyz"),
        (["a.mkv", "b"], {"output": "none/s.mkv"}, OutputError, "none"),
        (["a.mkv", "b"], {"output": "a.mkv", "overwrite": True}, OutputError, "is an input"),
        (["a.mkv", "b"], {"output": "b/0001.png", "overwrite": True}, OutputError, "is an input"),
    ],
)
def test_invalid_arguments_are_refused(
    first: Path,
    second: Path,
    tmp_path: Path,
    names: list[str],
    more: dict[str, Any],
    error: type[VidnstError],
    words: str,
) -> None:
    output = tmp_path / more.pop("output", "side.mkv")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(error, match=words):
        vidnst.compare([tmp_path / name for name in names], output=output, **more)
    assert sorted(tmp_path.rglob("*")) == before


def test_labels_may_be_any_text(first: Path, second: Path, tmp_path: Path) -> None:
    write_pictures(tmp_path / "plain", numbered_pictures(6))
    odd = tmp_path / "絵 \udcff"  # OpenCV itself crashes where such a name is to be written
    (tmp_path / "plain").rename(odd)
    vidnst.compare([first, odd], output=tmp_path / "a.png")
    vidnst.compare([first, second], output=tmp_path / "b.png", labels=["", "x" * 500])
    assert not np.array_equal(read_picture(tmp_path / "a.png"), read_picture(tmp_path / "b.png"))


def test_cancelling_leaves_no_files(first: Path, second: Path, tmp_path: Path) -> None:
    events: list[Event] = []
    before = sorted(tmp_path.iterdir())
    with pytest.raises(CancelledError):
        vidnst.compare(
            [first, second],
            output=tmp_path / "side.mkv",
            on_event=events.append,
            cancelled=lambda: Stage("comparing", 3, 6) in events,
        )
    assert sorted(tmp_path.iterdir()) == before


def test_single_clip_is_compared_with_source(first: Path, second: Path, tmp_path: Path) -> None:
    output = vidnst.compare([first], source=second, output=tmp_path / "one.mkv", difference=True, gain=1)
    for index, frame in enumerate(frames_of(output)):
        source, one, away = columns(frame, 96, 96, 96)
        assert np.array_equal(one, numbered_pictures(6)[index])
        assert np.array_equal(source, 255 - numbered_pictures(6)[index])
        assert np.abs(away - np.abs(one.astype(float) - source)).max() <= 0.5
