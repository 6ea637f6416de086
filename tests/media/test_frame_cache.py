"""Frames by index while a thread decodes ahead: the same ones, with their errors in place, in bounded memory."""

import threading
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from support import media

from vidnst.errors import BadFrameError
from vidnst.frames import ClipInfo, Frame, Shot
from vidnst.media.input.frame_cache import FrameCache
from vidnst.media.input.frame_reader import FrameReader
from vidnst.media.input.probe import probe

SHOTS = [Shot(0, 12), Shot(12, 20)]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> ClipInfo:
    """Frames 14 and 15 of 20 do not decode."""
    folder = tmp_path_factory.mktemp("cache")
    whole = media.write_video(folder / "w.mp4", media.numbered_pictures(20), options=("-g", "1"))
    return probe(media.damage_packets(whole, folder / "d.mp4", [14, 15]))


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Indices of the frames that any reader has decoded."""
    indices: list[int] = []
    read = FrameReader.read

    def noted(self: FrameReader, index: int) -> Frame:
        indices.append(index)
        return read(self, index)

    monkeypatch.setattr(FrameReader, "read", noted)
    return indices


def shown(cache: FrameCache, shot: int, index: int) -> int:
    return media.read_index(cache.get(shot, index).copy())


def test_any_order_gives_requested_frames(clip: ClipInfo) -> None:
    with closing(FrameCache(clip, SHOTS, size=None, frames=8, readers=1)) as cache:
        for shot, index in ((0, 0), (0, 5), (0, 4), (1, 13), (0, 11), (0, 1), (1, 12), (0, 2)):
            assert shown(cache, shot, index) == index


def test_bad_frame_is_an_error_only_if_requested(clip: ClipInfo) -> None:
    with closing(FrameCache(clip, SHOTS, size=None)) as cache:
        assert shown(cache, 1, 13) == 13
        for bad in (14, 15):
            with pytest.raises(BadFrameError, match=f"frame {bad} "):
                cache.get(1, bad)
        assert shown(cache, 1, 16) == 16


def test_repeated_frame_is_reported_in_callers_thread(clip: ClipInfo) -> None:
    told: list[Any] = []

    def tell(index: int) -> None:
        told.append((index, threading.current_thread()))

    with closing(FrameCache(clip, SHOTS, size=None, on_bad_frame="repeat", on_repeated=tell)) as cache:
        assert shown(cache, 1, 13) == 13
        time.sleep(0.05)
        assert told == []
        assert shown(cache, 1, 14) == 13
        assert told == [(14, threading.current_thread())]


def test_prefetch_is_bounded_and_stays_in_shot(clip: ClipInfo, decoded: list[int]) -> None:
    with closing(FrameCache(clip, SHOTS, size=None, frames=12)) as cache:
        cache.get(0, 0)
        cache.get(0, 1)
    assert {0, 1} <= set(decoded) <= set(range(5))
    with closing(FrameCache(clip, SHOTS, size=None)) as cache:
        for index in range(12):
            cache.get(0, index)
    assert max(decoded) == 11


def test_cache_of_one_frame_decodes_none_in_vain(clip: ClipInfo, decoded: list[int]) -> None:
    with closing(FrameCache(clip, SHOTS, size=None, frames=1)) as cache:
        assert shown(cache, 0, 3) == 3
    assert decoded == [3]


def test_close_leaves_no_thread(clip: ClipInfo) -> None:
    before = set(threading.enumerate())  # another test's threads may still be ending
    with closing(FrameCache(clip, SHOTS, size=None)) as cache:
        cache.get(0, 3)
        started = set(threading.enumerate()) - before
        assert any(thread.name.startswith("decode") for thread in started)
    assert not any(thread.is_alive() for thread in started)
