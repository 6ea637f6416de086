"""A frame of what a render has written, found without looking through all of it."""

from pathlib import Path

import pytest
from support import media

from vidnst.errors import SourceError
from vidnst.media.input.quick_frame import MAX_QUICK_FRAMES, read_quick_frame


def test_quick_frame_of_videos_folders_and_images(tmp_path: Path) -> None:
    video = media.write_video(tmp_path / "a.mp4", media.numbered_pictures(6))
    (tmp_path / "folder").mkdir()
    paths = media.write_pictures(tmp_path / "folder", media.numbered_pictures(6))
    for path in (video, tmp_path / "folder"):
        assert [media.read_index(read_quick_frame(path, number)) for number in (0, 3, 5)] == [0, 3, 5]
        with pytest.raises(SourceError, match="frame 6"):
            read_quick_frame(path, 6)
        with pytest.raises(SourceError, match="frame -1"):
            read_quick_frame(path, -1)
    assert media.read_index(read_quick_frame(paths[4], 0)) == 4


def test_quick_frame_far_into_video_is_refused(tmp_path: Path) -> None:
    video = media.write_video(tmp_path / "a.mp4", media.numbered_pictures(MAX_QUICK_FRAMES + 2))
    assert media.read_index(read_quick_frame(video, MAX_QUICK_FRAMES - 1)) == MAX_QUICK_FRAMES - 1
    with pytest.raises(SourceError, match="quickly"):
        read_quick_frame(video, MAX_QUICK_FRAMES)


def test_quick_frame_of_other_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "list.m3u8").write_text("#EXTM3U\n/etc/passwd\n")
    for name in ("gone.mp4", "list.m3u8"):
        with pytest.raises(SourceError, match=name.split(".")[0]):
            read_quick_frame(tmp_path / name, 0)
