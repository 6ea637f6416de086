"""Cuts are found, and shots cover exactly what was asked for."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from support import media

from vidnst.errors import RangeError
from vidnst.frames import ClipInfo, Shot
from vidnst.media.input.probe import probe
from vidnst.media.input.shots import _decode_small, find_shots


def scene(number: int, count: int) -> list[np.ndarray]:
    """A slow pan over soft noise in colours of its own."""
    rng = np.random.default_rng(number)
    import cv2

    tint = np.array([(210, 60, 50), (50, 190, 80), (60, 70, 220), (230, 220, 90)][number % 4])
    noise = cv2.GaussianBlur(rng.standard_normal((64, 96 + count)).astype(np.float32), (0, 0), 6)
    field = np.clip(0.6 + 2.5 * noise, 0.1, 1)[..., None] * tint
    return [field[:, at : at + 96].astype(np.uint8) for at in range(count)]


@pytest.fixture(scope="module")
def cut_clip(tmp_path_factory: pytest.TempPathFactory) -> ClipInfo:
    frames = [*scene(0, 30), *scene(1, 25), *scene(2, 35)]
    return probe(media.write_video(tmp_path_factory.mktemp("cuts") / "cuts.mp4", frames))


@pytest.mark.parametrize("method", ["auto", "adaptive", "content"])
def test_hard_cuts_are_detected_exactly(cut_clip: ClipInfo, method: str) -> None:
    assert find_shots(cut_clip, start=0, end=90, method=method) == [Shot(0, 30), Shot(30, 55), Shot(55, 90)]


def test_shots_cover_the_range_and_nothing_else(cut_clip: ClipInfo) -> None:
    assert find_shots(cut_clip, start=10, end=70) == [Shot(10, 30), Shot(30, 55), Shot(55, 70)]
    assert find_shots(cut_clip, start=33, end=50) == [Shot(33, 50)]
    assert find_shots(cut_clip, start=7, end=8) == [Shot(7, 8)]


def test_none_is_one_shot(cut_clip: ClipInfo) -> None:
    assert find_shots(cut_clip, start=5, end=90, method="none") == [Shot(5, 90)]


def test_given_cuts_inside_range_are_used(cut_clip: ClipInfo) -> None:
    assert find_shots(cut_clip, start=10, end=60, method=(40, 5, 20, 20, 60)) == [
        Shot(10, 20),
        Shot(20, 40),
        Shot(40, 60),
    ]
    with pytest.raises(RangeError, match="frame 90 is outside"):
        find_shots(cut_clip, start=10, end=60, method=(90,))


def test_images_are_one_shot_by_default(tmp_path: Path) -> None:
    media.write_pictures(tmp_path, [*scene(0, 12), *scene(1, 12)])
    clip = probe(tmp_path)
    assert find_shots(clip, start=0, end=24) == [Shot(0, 24)]
    assert find_shots(clip, start=0, end=24, method="adaptive") == [Shot(0, 12), Shot(12, 24)]


def test_progress_counts_frames(cut_clip: ClipInfo) -> None:
    seen: list[int] = []
    find_shots(cut_clip, start=10, end=90, on_progress=seen.append)
    assert seen == [50]


@pytest.mark.parametrize("damaged", [False, True])
def test_parallel_segments_show_same_frames(damaged: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frames = [*scene(0, 30), *scene(1, 25), *scene(2, 35)]
    path = media.write_video(tmp_path / "whole.mp4", frames, options=["-g", "12", "-bf", "2"])
    clip = probe(media.damage_packets(path, tmp_path / "damaged.mp4", [41]) if damaged else path)
    assert bool(clip.bad_frames) == damaged
    whole = [picture.tobytes() for picture in _decode_small(clip, 3, 88)]
    monkeypatch.setattr("vidnst.media.input.shots._SEGMENT_FRAMES", 7)
    monkeypatch.setattr("vidnst.media.input.frame_reader._SEEK_FRAMES", 10)  # so that most begin with a seek
    assert len(set(whole)) > 80
    assert [picture.tobytes() for picture in _decode_small(clip, 3, 88)] == whole


def test_real_cuts_are_detected_exactly(shared: Callable[[str], Path]) -> None:
    cuts = {
        "clips/bikes_cuts.mp4": [30, 76, 137, 187, 242],
        "clips/bunny_720p_aac.mp4": [],
        "clips/phone_vfr_rotated.mp4": [],
        "clips/bt709_full_range.mp4": [],
    }
    for name, wanted in cuts.items():
        clip = probe(shared(name))
        assert [shot.start for shot in find_shots(clip, start=0, end=clip.frame_count)][1:] == wanted, name
