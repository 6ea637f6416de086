"""Styles as texts: the meaning of each part, files whose names look like parts, and errors."""

from pathlib import Path

import numpy as np
import pytest
from support.media import numbered_picture, write_pictures, write_video

from vidnst.config.style import Style, parse_style
from vidnst.errors import ConfigError, StyleError
from vidnst.frames import ClipInfo
from vidnst.media.input.probe import probe
from vidnst.rendering.styles.style_spec import read_styles, timeline_of, timeline_warnings


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a.jpg", Style("a.jpg")),
        ("a.jpg:45", Style("a.jpg", 45)),
        ("a.jpg@10s", Style("a.jpg", at="10s")),
        ("a.jpg:2.5@120#sky", Style("a.jpg", 2.5, "120", (), "sky")),
        ("a.jpg@0:01.5", Style("a.jpg", at="0:01.5")),
        ("a.jpg:3@00:00:01.5#the-sky", Style("a.jpg", 3, "00:00:01.5", (), "the-sky")),
        ("a.jpg@shot2", Style("a.jpg", shots=(2,))),
        ("dir/%04d.png@shot0,2#sky", Style("dir/%04d.png", shots=(0, 2), region="sky")),
        ("a#1.jpg", Style("a#1.jpg")),
        ("me@home/a.jpg", Style("me@home/a.jpg")),
    ],
)
def test_style_text_has_path_weight_time_and_region(text: str, parts: Style) -> None:
    assert parse_style(text) == parts
    assert parse_style(str(parts)) == parts


@pytest.mark.parametrize("name", ["a.jpg:45", "a.jpg@10s", "a@shot2", "a#sky", "a:4@5#b"])
def test_existing_file_name_wins_over_suffix_syntax(name: str, tmp_path: Path) -> None:
    (tmp_path / name).touch()
    assert parse_style(str(tmp_path / name)) == Style(str(tmp_path / name))
    assert parse_style(f"{tmp_path / name}:3@7#sky") == Style(str(tmp_path / name), 3, "7", (), "sky")


def test_invalid_style_time_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").touch()
    with pytest.raises(ConfigError, match=r"'noon' is not a valid moment for style .*a\.jpg"):
        parse_style(f"{tmp_path}/a.jpg@noon")


@pytest.fixture
def painting(tmp_path: Path) -> str:
    return str(write_pictures(tmp_path, [numbered_picture(3)], "a.png")[0])


@pytest.fixture
def clip(tmp_path: Path) -> ClipInfo:
    write_pictures(tmp_path / "clip", [numbered_picture(index) for index in range(5)])
    return probe(tmp_path / "clip")


def test_videos_and_folders_are_moving_styles(tmp_path: Path, painting: str) -> None:
    frames = [numbered_picture(index) for index in range(4)]
    video = write_video(tmp_path / "style.mp4", frames)
    write_pictures(tmp_path / "styles", frames)
    still, moving, folder, pattern = read_styles(
        [painting, f"{video}:2", str(tmp_path / "styles"), str(tmp_path / "styles" / "%04d.png")]
    )
    assert still.clip is None
    assert moving.clip is not None
    assert (moving.clip.frame_count, moving.weight) == (4, 2.0)
    for style in (folder, pattern):
        assert style.clip is not None
        assert style.clip.frame_count == 4
        np.testing.assert_array_equal(style.pixels, frames[0])


def test_invalid_style_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("hello")
    (tmp_path / "empty").mkdir()
    write_pictures(tmp_path / "grey", [np.full((32, 32, 3), 90, np.uint8)] * 3)
    wrong = {
        "missing.jpg": "no style picture",
        "text.txt": "not a readable image",
        "empty": "no images",
        "grey": "one colour",
    }
    for name, words in wrong.items():
        with pytest.raises(StyleError, match=words):
            read_styles([str(tmp_path / name)])


def notes(texts: list[str], clip: ClipInfo, **range_: int) -> list[str]:
    styles = read_styles(texts)
    return timeline_warnings(styles, timeline_of(styles, clip), clip, range_.get("start", 0), range_.get("end", 5))


def test_unreachable_style_times_are_refused_or_noted(painting: str, clip: ClipInfo) -> None:
    late = [f"{painting}@0", f"{painting}@20s"]
    (note,) = notes(late, clip)
    assert "a.png at 20s is never reached" in note
    with pytest.raises(ConfigError, match=r"nothing of style a\.png at 0:30 would be seen"):
        notes([*late, f"{painting}@0:30"], clip)


def test_style_time_outside_range_is_noted(painting: str, clip: ClipInfo) -> None:
    timeline = [f"{painting}@0", f"{painting}@2", f"{painting}@4"]
    assert notes(timeline, clip) == []
    (note,) = notes(timeline, clip, end=2)
    assert "nothing of style a.png at 4 is seen in frames 0 to 1" in note


def test_frame_numbers_seconds_and_timecodes_agree(painting: str, clip: ClipInfo) -> None:
    entries = timeline_of(read_styles([f"{painting}@{text}" for text in ("3", "0.12s", "0:00.12")]), clip)
    assert len({entry.at for entry in entries}) == 1


def test_short_moving_style_is_noted_to_loop(tmp_path: Path, clip: ClipInfo) -> None:
    write_pictures(tmp_path / "styles", [numbered_picture(index) for index in range(2)])
    (note,) = notes([str(tmp_path / "styles")], clip)
    assert "styles has 2 frames for 5: it is played in a loop" in note
    assert notes([str(tmp_path / "styles")], clip, end=2) == []
