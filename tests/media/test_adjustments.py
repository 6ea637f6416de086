"""What is done to frames before they are rendered: found shot by shot, kept as JSON, done while frames are read."""

import json
from collections.abc import Callable
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from support import media

from vidnst.config import InputConfig
from vidnst.errors import SourceError
from vidnst.frames import ClipInfo, Pixels, Shot
from vidnst.media.adjust.adjustments import Adjuster, Adjustments, find_adjustments
from vidnst.media.adjust.deflicker import brightness
from vidnst.media.input.frame_cache import FrameCache
from vidnst.media.input.frame_reader import FrameReader
from vidnst.media.input.probe import probe

SIZE = (240, 160)
GREEN = (0, 255, 0)


def scene(size: tuple[int, int], seed: int = 0) -> NDArray[np.uint8]:
    """`(H, W, 3)`: soft blobs between 40 and 200 in red and blue, with green between these: never bright green."""
    random = np.random.default_rng(seed)
    layers = [random.integers(0, 256, (n * 5, n * 8)).astype(np.float32) for n in (1, 3, 8, 12)]
    mixed = np.mean([cv2.resize(layer, size, interpolation=cv2.INTER_CUBIC) for layer in layers], axis=0)
    grey = np.clip((mixed - 128) * 2 + 120, 40, 200)
    return np.stack([grey, grey * 0.9, grey * 0.8 + 20], axis=-1).astype(np.uint8)


def shaken(count: int, size: tuple[int, int] = SIZE, *, reach: float = 9, seed: int = 5) -> list[NDArray[np.uint8]]:
    """Views from the hand of a scene that is larger than they are: a few pixels off, turned by up to a degree."""
    margin = int(reach * 2 + 10)
    wide = scene((size[0] + 2 * margin, size[1] + 2 * margin))
    random, frames = np.random.default_rng(seed), []
    for _ in range(count):
        turn = cv2.getRotationMatrix2D((wide.shape[1] / 2, wide.shape[0] / 2), random.uniform(-1, 1), 1)
        turn[:, 2] += random.uniform(-reach, reach, 2)
        moved = cv2.warpAffine(wide, turn, wide.shape[1::-1], flags=cv2.INTER_CUBIC)
        frames.append(moved[margin:-margin, margin:-margin])
    return frames


def burst(folder: Path, frames: list[Any]) -> ClipInfo:
    return probe(media.write_pictures(folder, frames)[0].parent)


def everything(clip: ClipInfo) -> list[Shot]:
    return [Shot(0, clip.frame_count)]


def adjusted(clip: ClipInfo, shots: list[Shot], settings: InputConfig) -> tuple[Adjustments, list[Pixels]]:
    """What is found, and all frames with it, in order."""
    found = find_adjustments(clip, shots, settings)
    size = found.size(clip, settings.size)
    with closing(FrameCache(clip, shots, size=size, adjuster=Adjuster(found, clip, size))) as cache:
        frames = [cache.get(number, index) for number, shot in enumerate(shots) for index in shot.indices]
    assert {frame.shape for frame in frames} == {(size[1], size[0], 3)}
    return found, frames


def unrest(frames: list[Any]) -> float:
    """Mean difference of neighbouring frames, in levels."""
    return float(np.mean([np.abs(a.astype(int) - b).mean() for a, b in pairwise(frames)]))


@pytest.mark.parametrize("method", ["ecc", "homography"])
@pytest.mark.parametrize("edges", ["crop", "fill"])
def test_shaken_burst_is_stabilised(
    tmp_path: Path, method: Literal["ecc", "homography"], edges: Literal["crop", "fill"]
) -> None:
    frames = shaken(7)
    settings = InputConfig(registration=method, registration_edges=edges)
    found, still = adjusted(burst(tmp_path / "b", frames), [Shot(0, 7)], settings)
    assert found.unregistered == ()
    inner = [frame[30:-30, 30:-30] for frame in still]
    assert unrest(inner) < unrest(frames) / 6


def test_middle_frame_is_the_reference(tmp_path: Path) -> None:
    frames = shaken(5)
    settings = InputConfig(registration="ecc", registration_edges="fill")
    _, still = adjusted(burst(tmp_path / "b", frames), [Shot(0, 5)], settings)
    assert np.array_equal(still[2], frames[2])


@pytest.mark.parametrize("longest", [None, 100])
def test_crop_has_real_pixels_and_even_sides(tmp_path: Path, longest: int | None) -> None:
    """Each frame has a bright green edge: what lies beyond it would show as green."""
    frames = [cv2.copyMakeBorder(frame, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=GREEN) for frame in shaken(6)]
    clip = burst(tmp_path / "b", frames)
    found, still = adjusted(clip, everything(clip), InputConfig(registration="homography", size=longest))
    assert found.crop is not None
    assert found.crop.width % 2 == found.crop.height % 2 == 0
    assert found.crop.width * found.crop.height > 0.6 * SIZE[0] * SIZE[1]
    for frame in still:
        assert frame.shape[0] % 2 == frame.shape[1] % 2 == 0
        if longest:
            assert max(frame.shape) == longest
        # The rectangle ends one pixel inside, and a bicubic sample reads a little of the next.
        assert (frame[..., 1].astype(int) - frame[..., 0]).max() < 60
    inside = [frame[2:-2, 2:-2].astype(int) for frame in still]
    assert max((frame[..., 1] - frame[..., 0]).max() for frame in inside) < 20


def test_fill_keeps_size_and_leaves_no_holes(tmp_path: Path) -> None:
    """Where a frame has nothing, the wide scene itself is seen, from other frames."""
    frames = shaken(9)
    clip = burst(tmp_path / "b", frames)
    settings = InputConfig(registration="ecc", registration_edges="fill")
    found, still = adjusted(clip, everything(clip), settings)
    assert found.crop is None
    assert still[0].shape == frames[0].shape
    reference = frames[4].astype(int)
    for frame in still:
        off = np.abs(frame - reference).mean(axis=2)
        edge = np.ones(off.shape, bool)
        edge[16:-16, 16:-16] = False
        assert off[edge].mean() < 4, "the edges show what the reference shows there"
        assert np.percentile(off, 99) < 20


def test_filled_frame_is_independent_of_read_order(tmp_path: Path) -> None:
    clip = burst(tmp_path / "b", shaken(12))
    settings = InputConfig(registration="homography", registration_edges="fill")
    found, in_order = adjusted(clip, everything(clip), settings)
    size = (clip.width, clip.height)
    adjuster = Adjuster(found, clip, size)
    with closing(FrameCache(clip, everything(clip), size=size, adjuster=adjuster, frames=4)) as cache:
        for index in (11, 3, 0, 7, 11, 2):
            assert np.array_equal(cache.get(0, index), in_order[index])


def test_flat_frame_moves_like_its_neighbour(tmp_path: Path) -> None:
    frames = shaken(7)
    frames[5] = np.full_like(frames[5], 90)
    clip = burst(tmp_path / "b", frames)
    found, still = adjusted(clip, everything(clip), InputConfig(registration="ecc"))
    assert found.unregistered == (5,)
    assert found[5].matrix == found[4].matrix
    assert (still[5] == 90).all()


def test_unregistrable_shot_does_not_move(tmp_path: Path) -> None:
    clip = burst(tmp_path / "b", [np.full((48, 64, 3), level, np.uint8) for level in (60, 80, 100)])
    found, still = adjusted(clip, everything(clip), InputConfig(registration="homography"))
    assert found.unregistered == (0, 2)
    assert [int(frame.mean()) for frame in still] == [60, 80, 100]
    assert found.size(clip, None) == (64, 48)


def test_too_small_crop_is_an_error(tmp_path: Path) -> None:
    wide = scene((480, 160))
    frames = [wide[:, at : at + 200].copy() for at in (0, 85, 170, 255)]
    for frame in frames:
        frame[:, 98:102] //= 2
    clip = burst(tmp_path / "b", frames)
    with pytest.raises(SourceError, match=r"in common; fill the edges with --register-edges fill"):
        find_adjustments(clip, everything(clip), InputConfig(registration="homography"))
    assert find_adjustments(
        clip, everything(clip), InputConfig(registration="homography", registration_edges="fill")
    ).moves


def test_shots_have_own_references_and_common_crop(tmp_path: Path) -> None:
    frames = shaken(5, seed=1) + [np.ascontiguousarray(frame[::-1]) for frame in shaken(5, seed=2)]
    clip = burst(tmp_path / "b", frames)
    found, still = adjusted(clip, [Shot(0, 5), Shot(5, 10)], InputConfig(registration="homography"))
    assert found.unregistered == ()
    assert found[2].matrix == found[7].matrix == tuple(np.eye(3).ravel())
    for part, raw in ((still[:5], frames[:5]), (still[5:], frames[5:])):
        assert unrest(part) < unrest(raw) / 4


def flickering(folder: Path, kind: Any = np.uint8, *, count: int = 20, step: float = 0.02) -> ClipInfo:
    """Pictures of a scene that slowly brightens, and flickers."""
    light = 2.0 ** (step * np.arange(count) + np.random.default_rng(4).normal(0, 0.15, count))
    base = (scene((96, 64)) / 255.0) ** 2.2 * 0.4
    top = np.iinfo(kind).max
    frames = [np.rint((base * factor) ** (1 / 2.2) * top).astype(kind) for factor in light]
    return burst(folder, frames)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_deflicker_of_8_and_16_bit_files(tmp_path: Path, kind: Any) -> None:
    clip = flickering(tmp_path / "b", kind)
    raw = [brightness(frame.pixels) for frame in FrameReader(clip)]
    _, steady = adjusted(clip, everything(clip), InputConfig(deflicker=15))
    assert steady[0].dtype == kind
    after = [brightness(frame) for frame in steady]
    assert np.diff(after).std() < np.diff(raw).std() / 6
    assert after[-1] - after[0] == pytest.approx(0.02 * 19, abs=0.2)


def test_deflicker_does_not_cross_cuts(tmp_path: Path) -> None:
    frames = [scene((96, 64)) // 3] * 6 + [scene((96, 64))] * 6
    clip = burst(tmp_path / "b", frames)
    found, same = adjusted(clip, [Shot(0, 6), Shot(6, 12)], InputConfig(deflicker=9))
    assert all(np.array_equal(a, b) for a, b in zip(same, frames, strict=True))
    joined = find_adjustments(clip, everything(clip), InputConfig(deflicker=9))
    assert found.frames != joined.frames


def test_clip_without_flicker_is_unchanged(tmp_path: Path) -> None:
    frames = [np.roll(scene((96, 64)), 3 * number, axis=1) for number in range(8)]
    clip = burst(tmp_path / "b", frames)
    _, same = adjusted(clip, everything(clip), InputConfig(deflicker=5))
    assert all(np.array_equal(a, b) for a, b in zip(same, frames, strict=True))


def test_deflicker_and_registration_with_resize(tmp_path: Path) -> None:
    light = [1.0, 0.8, 1.15, 0.9, 1.1, 0.85, 1.0]
    frames = [np.rint(frame * factor).astype(np.uint8) for frame, factor in zip(shaken(7), light, strict=True)]
    clip = burst(tmp_path / "b", frames)
    settings = InputConfig(deflicker=7, registration="ecc", registration_edges="fill", size=120)
    _, still = adjusted(clip, everything(clip), settings)
    assert still[0].shape == (80, 120, 3)
    small = [cv2.resize(frame, (120, 80), interpolation=cv2.INTER_AREA) for frame in frames]
    assert unrest(still) < unrest(small) / 3


def test_adjustments_json_round_trip(tmp_path: Path) -> None:
    frames = shaken(5)
    frames[4][:] = 90
    clip = burst(tmp_path / "b", frames)
    for settings in (InputConfig(registration="ecc", deflicker=5), InputConfig(deflicker=5)):
        found = find_adjustments(clip, [Shot(1, 5)], settings)
        assert Adjustments.from_json(json.loads(json.dumps(found.to_json()))) == found
    assert find_adjustments(clip, [Shot(1, 5)], InputConfig(registration="ecc")) == find_adjustments(
        clip, [Shot(1, 5)], InputConfig(registration="ecc")
    )


def test_progress_counts_frames_of_all_shots(tmp_path: Path) -> None:
    clip = burst(tmp_path / "b", [scene((64, 48))] * 6)
    told: list[int] = []
    find_adjustments(
        clip, [Shot(0, 2), Shot(2, 6)], InputConfig(deflicker=3, registration="ecc"), on_progress=told.append
    )
    assert told == [1, 2, 3, 4, 5, 6]


def test_damaged_frame_is_repeated_if_requested(tmp_path: Path) -> None:
    clip = burst(tmp_path / "b", shaken(5))
    clip.paths[3].write_bytes(b"no picture")
    with pytest.raises(SourceError, match="does not decode"):
        find_adjustments(clip, everything(clip), InputConfig(registration="ecc"))
    found = find_adjustments(clip, everything(clip), InputConfig(registration="ecc", on_bad_frame="repeat"))
    assert found[3].matrix == pytest.approx(found[2].matrix, abs=0.05)


@pytest.mark.slow
def test_real_burst_is_stabilised(shared: Callable[[str], Path]) -> None:
    clip = probe(shared("frames/burst"))
    raw = [frame.pixels for frame in FrameReader(clip)]
    found, still = adjusted(clip, everything(clip), InputConfig(registration="ecc"))
    assert found.crop is not None
    assert found.unregistered == ()
    window = np.s_[found.crop.y : found.crop.y + found.crop.height, found.crop.x : found.crop.x + found.crop.width]
    assert unrest(still) < 0.75 * unrest([frame[window] for frame in raw])
    _, filled = adjusted(clip, everything(clip), InputConfig(registration="ecc", registration_edges="fill"))
    assert unrest(filled) < 0.9 * unrest(raw)
