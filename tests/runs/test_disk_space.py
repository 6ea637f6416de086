"""How much disk a render may take, and the refusal to begin without it."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from vidnst.errors import DiskFullError
from vidnst.farm.plan import StateId
from vidnst.runs import Look, Manifest, RunStore, check_free_space, required_bytes


def test_required_bytes_covers_incompressible_frames(tmp_path: Path) -> None:
    look = Look(config={}, source="s", styles=(), backbone="vgg19", weights="w")
    manifest = Manifest(versions={}, config={}, look=look, sources=("a",), output="o")
    noise = np.random.default_rng(0).integers(0, 256, (90, 160, 3), np.uint8)
    with RunStore.create(tmp_path / "run", manifest) as store:
        for frame in range(6):
            store.write(frames={frame: lambda path: path.write_bytes(noise.tobytes())})
        for frame in range(2):
            store.write(states={StateId(frame): noise.astype(np.uint16)})
    written = sum(path.stat().st_size for path in (tmp_path / "run").rglob("*") if path.is_file())
    assert written <= required_bytes(frames=6, width=160, height=90, states=2)


def test_sixteen_bits_take_twice_the_space_of_frames() -> None:
    one = required_bytes(frames=100, width=1920, height=1080, states=0)
    two = required_bytes(frames=100, width=1920, height=1080, states=0, bits=16)
    assert two - one == 100 * 1920 * 1080 * 3


def test_a_render_that_will_not_fit_is_refused_with_both_numbers(tmp_path: Path) -> None:
    free = shutil.disk_usage(tmp_path).free
    check_free_space(tmp_path / "not" / "yet", free // 2)
    with pytest.raises(DiskFullError, match=r"may need [\d.]+ GB in .*not/yet and [\d.]+ GB are free"):
        check_free_space(tmp_path / "not" / "yet", free * 2)
