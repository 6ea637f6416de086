"""The number of workers, and starting them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidnst.config import FarmConfig
from vidnst.config.loader import build_config
from vidnst.errors import ConfigError
from vidnst.farm import provisioning
from vidnst.farm.plan import Lane
from vidnst.farm.provisioning import WorkerCounts, choose_worker_counts, share_gpu


def test_a_single_chain_gets_one_worker_with_all_cores() -> None:
    assert choose_worker_counts(FarmConfig(), width=1, cores=8, gpus=0) == WorkerCounts(style=1, flow=1, threads=8)


def test_a_wide_plan_gets_a_worker_for_each_core() -> None:
    assert choose_worker_counts(FarmConfig(), width=500, cores=8, gpus=0) == WorkerCounts(style=8, flow=4, threads=1)


def test_each_gpu_gets_its_workers() -> None:
    assert choose_worker_counts(FarmConfig(), width=1, cores=32, gpus=4).style == 4
    shared = FarmConfig.model_validate({"gpus_per_worker": 0.5})
    assert choose_worker_counts(shared, width=1, cores=32, gpus=4).style == 8
    assert choose_worker_counts(shared, width=1, cores=32, gpus=4).threads is None


@pytest.mark.parametrize("workers", [1, 3])
def test_settings_of_the_user_win(workers: int) -> None:
    farm = FarmConfig.model_validate({"workers": workers, "threads": 2})
    counts = choose_worker_counts(farm, width=9, cores=8, gpus=0)
    assert (counts.style, counts.threads) == (workers, 2)


@given(
    width=st.integers(1, 10_000),
    cores=st.integers(1, 256),
    threads=st.integers(1, 64),
    workers=st.none() | st.integers(1, 64),
)
def test_a_resumed_run_keeps_its_threads(width: int, cores: int, threads: int, workers: int | None) -> None:
    farm = FarmConfig.model_validate({"workers": workers, "threads": 5})
    assert choose_worker_counts(farm, width=width, cores=cores, gpus=0, threads=threads).threads == threads


@given(width=st.integers(1, 10_000), cores=st.integers(1, 256))
def test_cores_are_never_shared_out_twice(width: int, cores: int) -> None:
    counts = choose_worker_counts(FarmConfig(), width=width, cores=cores, gpus=0)
    assert counts.threads is not None
    assert 1 <= counts.style * counts.threads <= cores


@given(share=st.floats(0.01, 1))
def test_pair_of_workers_shares_one_workers_gpu_part(share: float) -> None:
    style, flow = share_gpu(share, raft=True)
    assert 0 < flow < style
    assert style + flow == pytest.approx(share, abs=1e-4)
    assert share_gpu(share, raft=False) == (share, 0)


def test_no_gpu_is_not_shared() -> None:
    assert share_gpu(0.0, raft=True) == (0, 0)


@pytest.mark.parametrize("grows", [False, True])
def test_growing_cluster_gets_workers_that_do_not_fit_yet(grows: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}

    class Session:
        gpus, cpus, joined, gpu_kinds = 0.0, 0.0, True, ("H100", "L4")

        def __init__(self, **_: Any) -> None: ...

        def __enter__(self) -> "Session":
            return self

        def __exit__(self, *_: object) -> None: ...

    class Pool:
        def __init__(self, session: Session, groups: Any, **options: Any) -> None:
            asked.update(options, groups=groups)

        def close(self) -> None: ...

    monkeypatch.setattr(provisioning, "RaySession", Session)
    monkeypatch.setattr(provisioning, "RayPool", Pool)
    farm = {"workers": 4, "grows": grows, "device": "cuda" if grows else "auto", "address": "host:6379"}
    config = build_config({"farm": farm})
    with provisioning.start_workers(config.farm, width=9) as (_, counts):
        pass
    assert ["2 kinds (H100, L4)" in note for note in counts.notes] == [True] * grows
    assert asked["grows"] is grows
    style = asked["groups"][Lane.STYLE]
    assert (style.count, style.gpus) == (4, 1.0 if grows else 0.0)
    assert asked["start_timeout_seconds"] == (1800 if grows else 300)


def test_flow_workers_next_to_gpus_share_the_cores() -> None:
    counts = choose_worker_counts(FarmConfig(), width=500, cores=32, gpus=4)
    assert (counts.style, counts.flow, counts.threads, counts.flow_threads) == (4, 4, None, 4)
    assert choose_worker_counts(FarmConfig(), width=500, cores=2, gpus=8).flow_threads == 1
    assert choose_worker_counts(FarmConfig(), width=500, cores=8, gpus=0).flow_threads is None


def test_growing_cluster_needs_a_number_of_workers() -> None:
    with pytest.raises(ConfigError, match="set workers"):
        build_config({"farm": {"grows": True}})


def test_gpu_worker_has_a_job_in_work_for_each_core() -> None:
    counts = [choose_worker_counts(FarmConfig(), width=500, cores=cores, gpus=gpus) for cores, gpus in CORES_AND_GPUS]
    assert [one.concurrency for one in counts] == [3, 9, 10, 5, 3]
    assert all(one.prefetch == one.concurrency for one in counts)


def test_cpu_worker_has_one_job_in_work() -> None:
    counts = choose_worker_counts(FarmConfig(), width=500, cores=8, gpus=0)
    assert (counts.concurrency, counts.prefetch) == (1, 1)


CORES_AND_GPUS = [(2, 1.0), (8, 1.0), (64, 1.0), (16, 4.0), (8, 8.0)]
