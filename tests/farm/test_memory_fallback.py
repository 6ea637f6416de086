"""The memory limit of a worker, and the fallback to memory modes."""

import gc
import weakref
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from vidnst.config import MotionConfig, RenderConfig
from vidnst.config.loader import build_config
from vidnst.errors import ScarceMemoryError
from vidnst.farm import memory_fallback
from vidnst.farm.memory_fallback import (
    MemoryLadder,
    flow_memory,
    gpu_memory_limit,
    is_out_of_memory,
    limit_memory,
    size_that_fits,
    too_large_error,
    try_modes,
)
from vidnst.motion.raft import raft_bytes
from vidnst.style.memory.footprint import Footprint, estimate_footprint
from vidnst.style.memory.modes import MemoryMode, fallback_modes

GIB = 1 << 30
LADDER = fallback_modes(build_config({}))
GPU = torch.device("cuda")


@pytest.mark.parametrize(
    ("error", "is_it"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB."), True),
        (MemoryError(), True),
        (RuntimeError("[enforce fail] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to"), True),
        (RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 7 bytes."), True),
        (RuntimeError("CUDA error: out of memory"), True),
        (RuntimeError("std::bad_alloc"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), True),
        (RuntimeError("The size of tensor a (3) must match the size of tensor b (4)"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_out_of_memory_errors_are_recognised(error: Exception, is_it: bool) -> None:
    assert is_out_of_memory(error) is is_it


def test_first_mode_is_retried_with_free_caches() -> None:
    calls: list[Any] = []

    def paint(memory_mode: MemoryMode) -> str:
        calls.append(memory_mode)
        if memory_mode != LADDER[2]:
            raise MemoryError(f"first {len(calls)}\nsecond")
        return "painted"

    result = try_modes(paint, LADDER, free=lambda: calls.append("free"))
    assert result == ("painted", LADDER[2], "first 1")
    assert calls == [LADDER[0], "free", LADDER[0], "free", LADDER[1], "free", LADDER[2]]


def test_failed_attempt_frees_its_tensors() -> None:
    tensors: list[weakref.ref[torch.Tensor]] = []

    def deep() -> None:
        tensor = torch.zeros(3)
        tensors.append(weakref.ref(tensor))
        raise torch.OutOfMemoryError("no more")

    def paint(memory_mode: MemoryMode) -> int:
        local = torch.zeros(5)
        tensors.append(weakref.ref(local))
        if memory_mode == LADDER[0]:
            deep()
        return 1

    seen: list[list[bool]] = []
    gc.disable()
    try:
        try_modes(paint, LADDER, free=lambda: seen.append([ref() is None for ref in tensors]))
    finally:
        gc.enable()
    assert seen
    assert all(all(gone) for gone in seen)


def test_other_errors_pass_and_the_last_mode_is_final() -> None:
    def wrong(_: MemoryMode) -> None:
        raise ValueError("something else")

    def large(_: MemoryMode) -> None:
        raise MemoryError

    with pytest.raises(ValueError, match="something else"):
        try_modes(wrong, LADDER, free=lambda: None)
    with pytest.raises(ScarceMemoryError, match="MemoryError"):
        try_modes(large, LADDER[:1], free=lambda: None)


def test_gpu_memory_limit_by_share_and_setting() -> None:
    def limit(*, total: int = 8, raft: bool = False, **farm: object) -> float:
        motion = MotionConfig(method="raft" if raft else "dis")
        return gpu_memory_limit(build_config({"farm": farm}).farm, total * GIB, motion) / GIB

    assert limit() == 8
    assert limit(gpus_per_worker=0.5) == pytest.approx(3.5)
    raft = raft_bytes(640) / GIB
    assert limit(raft=True) == pytest.approx(8 - (raft + 0.5) - 0.5)
    assert limit(raft=True, gpus_per_worker=0.5) == pytest.approx(4 - (raft + 0.5) - 0.5)
    assert limit(raft=True, total=80) == pytest.approx(80 - 8 - 0.5)  # a tenth is more
    assert limit(raft=True, total=1) == pytest.approx(0.25)
    assert limit(gpus_per_worker=0.05) == pytest.approx(0.2)
    assert limit(memory_gib=2) == 2
    assert limit(memory_gib=6, gpus_per_worker=0.5) == pytest.approx(3.5)
    assert limit(memory_gib=16) == 8


@pytest.mark.parametrize(
    ("farm", "fraction"),
    [
        ({}, 1.0),
        ({"memory_gib": 2}, 0.25),
        ({"memory_gib": 20}, 1.0),
        ({"gpus_per_worker": 0.5}, 0.4375),
        ({"gpus_per_worker": 0.5, "executor": "inline"}, 0.875),
        ({"memory_gib": 2, "workers": 3, "executor": "inline"}, 0.75),
        ({"memory_gib": 6, "workers": 3, "executor": "inline"}, 1.0),
        ({"executor": "inline"}, 1.0),
    ],
)
def test_gpu_limit_is_enforced_for_the_process(
    farm: dict[str, Any], fraction: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[float] = []
    properties = SimpleNamespace(total_memory=8 * GIB)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: properties)
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", asked.append)
    config = build_config({"farm": farm})
    assert limit_memory(config, GPU) == gpu_memory_limit(config.farm, 8 * GIB, config.motion)
    assert asked == [pytest.approx(fraction)]


@pytest.mark.parametrize("executor", ["ray", "inline"])
def test_rafts_memory_is_kept_free_on_a_whole_gpu(executor: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[float] = []
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: SimpleNamespace(total_memory=8 * GIB))
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", asked.append)
    config = build_config({"farm": {"executor": executor}, "motion": {"method": "raft"}})
    limit = limit_memory(config, GPU)
    flow = flow_memory(config.farm, 8 * GIB, config.motion)
    assert flow > raft_bytes(640)
    assert limit is not None
    assert limit <= 8 * GIB - flow
    # In one process both have the same allocator, so its limit is that of both.
    assert asked == [pytest.approx((limit + flow * (executor == "inline")) / (8 * GIB))]


def test_cpu_limit_is_not_enforced() -> None:
    cpu = torch.device("cpu")
    assert limit_memory(build_config({}), cpu) is None
    assert limit_memory(build_config({"farm": {"memory_gib": 0.5}}), cpu) == GIB // 2


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each mode of the ladder takes a hundred bytes a pixel less than the one before, from a thousand."""

    def estimate(config: RenderConfig, memory_mode: MemoryMode = LADDER[0]) -> Footprint:
        return Footprint(1000.0 - 100 * fallback_modes(config, smaller=True).index(memory_mode), 1000)

    monkeypatch.setattr(memory_fallback, "estimate_footprint", estimate)


def modes_from(limit: int | None, memory_mode: MemoryMode = LADDER[0], **farm: object) -> tuple[list[int], str]:
    config = build_config({"farm": farm})
    modes, why = MemoryLadder(config, limit).modes_from(memory_mode, width=10, height=10)
    return [fallback_modes(config, smaller=True).index(mode) for mode in modes], why


@pytest.mark.usefixtures("steps")
def test_ladder_begins_with_the_first_mode_that_fits() -> None:
    assert modes_from(None) == ([0, 1, 2, 3, 4], "")
    assert modes_from(101_000) == ([0, 1, 2, 3, 4], "")
    modes, why = modes_from(100_999)
    assert modes == [1, 2, 3, 4]
    assert why == "a frame of 10x10 takes some 0.00 GiB of memory, and there are 0.00 GiB"
    assert modes_from(81_000)[0] == [2, 3, 4]
    assert modes_from(101_000, LADDER[3]) == ([3, 4], "")
    assert modes_from(71_000, LADDER[3]) == ([3, 4], "")


@pytest.mark.usefixtures("steps")
def test_estimate_alone_makes_no_frame_smaller() -> None:
    assert modes_from(1)[0] == [4]
    assert modes_from(1, may_shrink=True)[0] == [4, 5, 6]
    assert modes_from(None, may_shrink=True)[0] == [0, 1, 2, 3, 4, 5, 6]


@pytest.mark.usefixtures("steps")
def test_ladder_skips_bfloat16_where_maps_are_anyway() -> None:
    config = build_config({})
    modes, _ = MemoryLadder(config, None, bfloat16=True).modes_from(LADDER[0], width=10, height=10)
    assert modes == (LADDER[0], *LADDER[2:5])
    assert MemoryLadder(config, None, bfloat16=True).modes_from(LADDER[1], width=10, height=10)[0] == LADDER[1:5]


def test_resumed_shot_keeps_a_mode_not_allowed_now() -> None:
    small = fallback_modes(build_config({}), smaller=True)[-1]
    assert MemoryLadder(build_config({}), None).modes_from(small, width=9, height=9) == ((small,), "")


def test_error_suggests_a_size_that_fits() -> None:
    config = build_config({})
    took = estimate_footprint(config)
    room_ = took.fixed + round(took.per_pixel * 640 * 360)
    assert size_that_fits(config, LADDER[0], room_, width=1920, height=1080) == 640
    assert size_that_fits(config, LADDER[0], None, width=1920, height=1080) == 1344
    assert size_that_fits(config, LADDER[0], 1 << 50, width=1920, height=1080) == 1344
    assert size_that_fits(config, LADDER[0], 0, width=1920, height=1080) == 16
    error = too_large_error(config, LADDER[-1], None, "CUDA out of memory", width=1920, height=1080)
    assert str(error) == (
        f"a frame of 1920x1080 does not fit into memory, not with {LADDER[-1].describe()} either (CUDA out of memory); "
        "render it at --size 1344, with fewer workers at once, or let such shots be painted smaller with "
        "farm.may_shrink=true."
    )
