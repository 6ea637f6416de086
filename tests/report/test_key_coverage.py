"""What painted keys cover, by the flows that a run has recorded, and what the report shows of it."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from support.media import write_picture
from support.renders import quick_config
from support.run_folders import manifest_of

from vidnst.config import RenderConfig
from vidnst.config.loader import build_config
from vidnst.errors import SourceError
from vidnst.frames import Shot
from vidnst.media.input.fingerprint import fingerprint
from vidnst.media.input.key_pictures import read_key_picture
from vidnst.motion.flow import Flow, FlowPair
from vidnst.motion.flow_sketch import with_sketch
from vidnst.report.html.report_keys import draw_keys, read_key_section
from vidnst.report.key_coverage import KeyCoverage, key_paths, read_key_coverage, stretches
from vidnst.runs import RunStore
from vidnst.runs.record import RunRecord
from vidnst.runs.request import Request

HEIGHT, WIDTH, STEP = 54, 96, 8


def panned(share: float = 1.0) -> str:
    """The sketch of a pan by `STEP` pixels, whose flow is trusted in the upper part of the picture."""
    flows = []
    for step in (STEP, -STEP):
        x = np.arange(WIDTH) + step
        valid = np.zeros((HEIGHT, WIDTH), np.uint8)
        valid[: round(share * HEIGHT), (x >= 0) & (x < WIDTH)] = 255
        vectors = np.zeros((HEIGHT, WIDTH, 2), np.float32)
        vectors[..., 0] = step
        flows.append(Flow(vectors, valid))
    return with_sketch(FlowPair(*flows)).sketch


def settings_of(keys: Mapping[int, Path]) -> RenderConfig:
    return build_config({"keys": {"pictures": {frame: str(path) for frame, path in keys.items()}}})


def run_with(
    folder: Path, keys: Mapping[int, Path], sketches: Mapping[int, str], shots: Iterable[tuple[int, int]]
) -> tuple[Path, RenderConfig, list[Shot]]:
    """A run folder with keys and recorded flows."""
    manifest = manifest_of()
    marks = {str(frame): fingerprint([path]) for frame, path in keys.items()}
    look = manifest.look.model_copy(update={"keys": marks})
    with RunStore.create(folder / "out.vidnst", manifest.model_copy(update={"look": look})) as store:
        for frame, sketch in sketches.items():
            store.record("flow", frame=frame, sketch=sketch)
    return store.folder, settings_of(keys), [Shot(*shot) for shot in shots]


def coverage_of(*args: Any) -> KeyCoverage:
    found = read_key_coverage(*run_with(*args))
    assert found is not None
    return found


@pytest.fixture
def painting(tmp_path: Path) -> Path:
    return write_picture(tmp_path / "key.png", np.full((HEIGHT, WIDTH, 3), 200, np.uint8))


def test_frames_follow_the_keys_on_both_sides(tmp_path: Path, painting: Path) -> None:
    found = coverage_of(tmp_path, {2: painting, 6: painting}, dict.fromkeys(range(1, 9), panned()), [(0, 9)])
    assert [sorted(shares) for _, shares in sorted(found.follows.items())] == [[2]] * 3 + [[2, 6]] * 3 + [[6]] * 3
    assert found.covered[2] == found.covered[6] == 1
    # Between the keys nothing is hidden from both; outside one more step of the pan is lost with each frame.
    assert [found.covered[frame] for frame in (3, 4, 5)] == pytest.approx([1, 1, 1], abs=0.01)
    assert [found.covered[frame] for frame in (1, 0)] == pytest.approx([1 - 8 / 96, 1 - 16 / 96], abs=0.01)
    assert found.follows[3][2] > 2 * found.follows[3][6]
    assert found.follows[4][2] == pytest.approx(found.follows[4][6])
    assert not found.advice


def test_advice_names_the_frame_that_covers_most(tmp_path: Path, painting: Path) -> None:
    sketches = {frame: panned(0.25 if frame == 4 else 1) for frame in range(1, 13)}
    found = coverage_of(tmp_path, {0: painting}, sketches, [(0, 13)])
    assert set(found.poor) == set(range(4, 13))
    totals = {}
    for frame in range(1, 13):
        better = coverage_of(tmp_path / str(frame), {0: painting, frame: painting}, sketches, [(0, 13)])
        totals[frame] = sum(better.covered[poor] for poor in found.poor)
    assert found.next_key == max(totals, key=lambda frame: totals[frame])
    words = f"paint one more here: frame {found.next_key}; of 9 frames less than half follows"
    assert found.advice.startswith(words)


def test_advice_is_about_what_is_poor(tmp_path: Path, painting: Path) -> None:
    sketches = {frame: panned(0.3 if frame == 1 else 0.8) for frame in range(1, 12)}
    found = coverage_of(tmp_path, {1: painting, 11: painting}, sketches, [(0, 12)])
    assert found.poor == (0,)
    assert sum(1 - found.covered[frame] for frame in range(1, 12)) > 1 - found.covered[0]
    assert found.next_key == 0
    assert found.advice.startswith("paint one more here: frame 0; of frame 0 less than half follows the painted keys (")


def test_shot_without_a_key_is_not_covered(tmp_path: Path, painting: Path) -> None:
    sketches = {frame: panned() for frame in (1, 2, 3, 5, 6, 7, 8)}
    found = coverage_of(tmp_path, {1: painting}, sketches, [(0, 4), (4, 9)])
    assert [found.covered[frame] for frame in range(4, 9)] == [0] * 5
    assert found.next_key == 6
    assert not found.unknown


def test_frames_past_a_missing_flow_are_not_known(tmp_path: Path, painting: Path) -> None:
    sketches = {frame: panned() for frame in range(1, 9) if frame != 5} | {6: "damaged"}
    found = coverage_of(tmp_path, {2: painting}, sketches, [(0, 9)])
    assert found.unknown == (5, 6, 7, 8)
    assert stretches(found.unknown) == [(5, 8)]
    assert sorted(found.covered) == [0, 1, 2, 3, 4]


def test_what_is_transparent_follows_the_key_before(tmp_path: Path, painting: Path) -> None:
    bgra = np.full((HEIGHT, WIDTH, 4), 255, np.uint8)
    bgra[HEIGHT // 2 :, :, 3] = 0
    half = tmp_path / "half.png"
    cv2.imwrite(str(half), bgra)
    sketches = dict.fromkeys(range(1, 9), panned())
    alone = coverage_of(tmp_path / "alone", {4: half}, sketches, [(0, 9)])
    assert alone.covered[4] == pytest.approx(0.5, abs=0.02)
    both = coverage_of(tmp_path / "both", {3: painting, 4: half}, sketches, [(0, 9)])
    assert both.covered[4] == pytest.approx(1 - 4 / 96, abs=0.02)
    assert both.follows[5][4] == pytest.approx(0.5 * (1 - 8 / 96), abs=0.03)
    assert both.follows[5][3] == pytest.approx(0.5 * (1 - 16 / 96), abs=0.03)


def test_run_without_keys_has_no_coverage(tmp_path: Path) -> None:
    folder, config, shots = run_with(tmp_path, {}, {1: panned()}, [(0, 2)])
    assert read_key_coverage(folder, config, shots) is None


def test_section_shows_keys_bars_and_advice(tmp_path: Path, painting: Path) -> None:
    gone = write_picture(tmp_path / "gone.png", np.full((HEIGHT, WIDTH, 3), 20, np.uint8))
    sketches = {frame: panned(0.3 if frame == 7 else 1) for frame in range(1, 30)}
    folder, config, shots = run_with(tmp_path, {0: painting, 2: gone, 5: gone}, sketches, [(0, 30)])
    gone.unlink()
    with RunStore.open(folder) as store:
        record = RunRecord(folder, Request("in.mp4", (), tmp_path / "out.mp4", config), None)
        section = read_key_section(record, store.manifest, shots)
    assert section is not None
    assert [picture.frame for picture in section.pictures if picture.data] == [0]
    text = "".join(draw_keys(section))
    assert "the picture is gone" in text
    assert "followed by frames 0 to 1" in text
    assert f"paint {section.coverage.next_key}" in text
    assert text.count('class="painted"') == 3
    parts = [share for shares in section.coverage.follows.values() for share in shares.values() if share > 0.01]
    assert text.count("<rect ") == 1 + len(parts)


def test_keys_that_are_no_files_are_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    for path in (tmp_path / "pipe.png", Path("/dev/zero"), Path("a\0b"), tmp_path):
        with pytest.raises(SourceError, match="there is no key"):
            read_key_picture(path)
        assert key_paths(quick_config(keys={"pictures": {0: str(path)}})) == {}
