"""A GPU that fails for good: its worker is replaced, and the frame that it had is not to blame."""

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from support.fake_workers import DigestHost, Recorder, VirtualPool, with_uses
from support.renders import TWO_LAYERS, frame_files, quick_config, run_folder
from support.stylizer_faults import Stylize, wrap_stylizer

import vidnst
from vidnst.errors import FarmError
from vidnst.farm.device_errors import device_loss
from vidnst.farm.interfaces import Component, NodeEventKind
from vidnst.farm.jobs import DeviceLostError, Shared, StylizeJob, WorkerGroup
from vidnst.farm.multi_style_worker import MultiStyleWorker
from vidnst.farm.plan import Lane, StateId
from vidnst.farm.scheduler import run_plan
from vidnst.farm.schedules import independent
from vidnst.farm.thread_pool import InlinePool
from vidnst.frames import Shot
from vidnst.style.memory.modes import MemoryMode
from vidnst.style.minimize import StylizeResult

FRAMES = 6
ILLEGAL_ACCESS = (
    "CUDA error: an illegal memory access was encountered\n"
    "CUDA kernel errors might be asynchronously reported at some other API call."
)


@pytest.mark.parametrize(
    ("error", "is_lost"),
    [
        (RuntimeError(ILLEGAL_ACCESS), True),
        (torch.AcceleratorError("CUDA error: unspecified launch failure"), True),
        (RuntimeError("CUDA error: uncorrectable ECC error encountered"), True),
        (RuntimeError("CUDA error: device-side assert triggered"), True),
        (RuntimeError("CUDA error: misaligned address"), True),
        (RuntimeError("CUDA error: an illegal instruction was encountered"), True),
        (RuntimeError("CUDA error: uncorrectable NVLink error detected during the execution"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm`"), True),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB."), False),
        (RuntimeError("CUDA error: out of memory"), False),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), False),
        (RuntimeError("CUDA error: invalid device ordinal"), False),
        (RuntimeError("The size of tensor a (3) must match the size of tensor b (4)"), False),
        (ValueError("CUDA error: unspecified launch failure"), False),
    ],
)
def test_errors_that_end_a_gpu_are_told_from_others(error: Exception, is_lost: bool) -> None:
    assert (device_loss(error) is not None) is is_lost


def test_lost_gpu_is_one_line_that_can_be_sent() -> None:
    loss = device_loss(RuntimeError(ILLEGAL_ACCESS))
    assert str(loss) == "the GPU failed: CUDA error: an illegal memory access was encountered"
    sent = pickle.loads(pickle.dumps(loss))
    assert isinstance(sent, DeviceLostError)
    assert str(sent) == str(loss)


class LostCard:
    """A worker on a GPU that fails."""

    def run(self, job: object) -> None:
        raise RuntimeError(ILLEGAL_ACCESS)


def job(frame: int) -> StylizeJob:
    return StylizeJob(StateId(frame), None, (), 1, 0, style_set=Shared("a", LostCard))  # type: ignore[arg-type]


def test_worker_says_that_its_gpu_is_lost() -> None:
    with pytest.raises(DeviceLostError, match="illegal memory access") as raised:
        MultiStyleWorker().run(job(0))
    assert isinstance(raised.value.__cause__, RuntimeError)


class TwoCards(VirtualPool):
    """Workers on two GPUs, some of whose jobs end with the GPU."""

    def __init__(self, losses: dict[str, int], **options: Any) -> None:
        super().__init__(2, 1, **options)
        self.losses = losses
        """How many more jobs end so, by worker."""

    def wait(self, timeout_seconds: float) -> Any:
        worker = self._queue[0][2] if self._queue else ""
        if self.losses.get(worker, 0) > 0:
            self.losses[worker] -= 1
            job = self._queue[0][3]
            self.moods = {(job.node.id, job.attempt): "lost"}
        outcomes = super().wait(timeout_seconds)
        self.moods = {}
        return outcomes


def run(pool: VirtualPool, frames: int = 12, **options: Any) -> tuple[DigestHost, Recorder]:
    nodes = with_uses(list(independent(Shot(0, frames))))
    host, recorder = DigestHost(nodes), Recorder()
    run_plan([Component(nodes, host)], pool, listener=recorder, **options)
    return host, recorder


@pytest.mark.parametrize("absence", [None, 5.0])
def test_frames_of_a_lost_gpu_go_elsewhere_uncounted(absence: float | None) -> None:
    host, recorder = run(TwoCards({"style-0": 2}, absence=absence), attempts=1)
    assert len(host.kept) == 12
    assert not host.given_up
    died = recorder.of(NodeEventKind.DIED)
    assert [event.worker for event in died] == ["style-0", "style-0"]
    assert {attempt for _, attempt, _ in host.jobs} == {1}
    lost = {event.node.id for event in died}
    assert {event.worker for event in recorder.of(NodeEventKind.DONE) if event.node.id in lost} == {"style-1"}


def test_frame_that_ends_every_gpu_is_given_up() -> None:
    moods = {(StateId(3), attempt): "lost" for attempt in range(1, 9)}
    host, recorder = run(VirtualPool(2, 1, moods=moods), attempts=2)
    assert set(host.given_up) == {StateId(3)}
    assert len(host.kept) == 11
    assert len(recorder.of(NodeEventKind.DIED)) == 3 + 2


def test_gpu_that_loses_node_after_node_is_quarantined() -> None:
    _, recorder = run(TwoCards({"style-0": 99}))
    assert [event.worker for event in recorder.of(NodeEventKind.QUARANTINED)] == ["style-0"]


def test_lost_gpu_of_this_process_ends_the_run() -> None:
    pool = InlinePool({Lane.STYLE: WorkerGroup(MultiStyleWorker, 2), Lane.FLOW: WorkerGroup(MultiStyleWorker, 1)})
    try:
        pool.submit("style-0", job(0))
        (outcome,) = pool.wait(60)
    finally:
        pool.close()
    assert isinstance(outcome.error, FarmError)
    assert "illegal memory access was encountered, and this process cannot use it any more" in outcome.error.what
    assert "give the same command again" in outcome.error.remedy


def test_inline_run_that_lost_its_gpu_resumes(burst: Path, style: Path, tmp_path: Path) -> None:
    config = quick_config(losses=TWO_LAYERS, farm={"workers": 1})
    vidnst.render(burst, style=style, output=tmp_path / "whole", config=config)
    painted = 0

    def fail_later(job: StylizeJob, mode: MemoryMode, seed: int, paint: Stylize) -> StylizeResult:
        nonlocal painted
        painted += 1
        if painted > 4:
            raise torch.AcceleratorError(ILLEGAL_ACCESS)
        return paint()

    with pytest.MonkeyPatch.context() as broken:
        wrap_stylizer(broken, fail_later)
        with pytest.raises(FarmError, match="this process cannot use it any more"):
            vidnst.render(burst, style=style, output=tmp_path / "cut", config=config)
    assert painted == 5
    vidnst.render(burst, style=style, output=tmp_path / "cut", config=config)
    assert frame_files(run_folder(tmp_path / "cut")) == frame_files(run_folder(tmp_path / "whole"))
