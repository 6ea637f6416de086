"""Results on their way to the disk: in which order they come there, how many may wait, and what an error does."""

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vidnst.errors import DiskFullError, OutputError
from vidnst.farm.plan import Node, StateId
from vidnst.farm.schedules import chain
from vidnst.frames import Shot
from vidnst.runs import DoneRecord, Look, Manifest, NodeResult, RunStore, Writer
from vidnst.runs.async_writer import WriteBudget, _start_threads

NODES = [node for node in chain(Shot(0, 9)) if isinstance(node.id, StateId)]
MIB = 1 << 20
SOON = 20.0
"""Seconds after which something will never happen."""


def pixels(frame: int) -> "np.ndarray[Any, np.dtype[np.uint16]]":
    return np.full((2, 3, 3), frame, np.uint16)


def result(node: Node, *, mebibytes: int = 0, write_frame: Callable[[Path], object] | None = None) -> NodeResult:
    return NodeResult(
        DoneRecord(node, worker="style-0", attempt=1, losses={}, evaluations=1, seconds=1.0),
        state=pixels(node.id.frame),
        write_frame=write_frame or (lambda path: path.write_bytes(b"png")),
        size_bytes=mebibytes * MIB,
    )


class SlowDisk:
    """Lets the store write only when told, and notes what it does, and what had been done by then.

    Put in place of a store's methods.
    """

    def __init__(self, store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[tuple[str, list[str]]] = []
        self.began = threading.Semaphore(0)
        self._allowed = threading.Semaphore(0)
        self._write, self._record, self._release = store.write, store.record_done, store.release
        monkeypatch.setattr(store, "write", self.write)
        monkeypatch.setattr(store, "record_done", self.record_done)
        monkeypatch.setattr(store, "release", self.release)

    def allow(self, times: int = 1) -> None:
        for _ in range(times):
            self._allowed.release()

    def wait(self) -> None:
        """Until the store is about to write."""
        assert self.began.acquire(timeout=SOON)

    def write(self, *, states: Any, frames: Any, threads: Any) -> None:
        if states or frames:
            self.began.release()
            assert self._allowed.acquire(timeout=SOON)
            self.calls.append(("write", [*map(str, states), *map(str, frames)]))
        self._write(states=states, frames=frames, threads=threads)

    def record_done(self, nodes: Any) -> None:
        nodes = list(nodes)
        self.calls.append(("line", [str(done.node.id) for done in nodes]))
        self._record(nodes)

    def release(self, nodes: Any) -> None:
        if nodes := list(nodes):
            self.calls.append(("delete", [str(node) for node in nodes]))
        self._release(nodes)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[RunStore]:
    look = Look(config={}, source="s", styles=(), backbone="vgg19", weights="w")
    manifest = Manifest(versions={}, config={}, look=look, sources=("a",), output="o")
    with RunStore.create(tmp_path / "run", manifest) as store:
        yield store


def done_in(store: RunStore) -> list[str]:
    lines = [json.loads(line) for line in (store.folder / "events.jsonl").read_text().splitlines()]
    return [line["node"] for line in lines if line["kind"] == "done"]


def states_in(store: RunStore) -> list[str]:
    return sorted(path.name for path in (store.folder / "state").iterdir())


def test_files_are_in_place_before_the_log_line(store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = SlowDisk(store, monkeypatch)
    with Writer(store) as writer:
        for node in NODES[:3]:
            writer.keep(result(node))
        disk.wait()
        assert not any(writer.lasts(node.id) for node in NODES[:3])
        assert not writer.lasts(NODES[0].id, timeout_seconds=0.01)
        assert done_in(store) == []
        disk.allow(3)
        writer.flush()
        assert all(writer.lasts(node.id) for node in NODES[:3])
    assert done_in(store) == ["0.0", "1.0", "2.0"]
    written: set[str] = set()
    for kind, names in disk.calls:
        if kind == "line":
            assert written.issuperset(names), "a line came before its files"
        written.update(names)
    for node in NODES[:3]:
        np.testing.assert_array_equal(
            store.read_state(StateId(node.id.frame), width=3, height=2), pixels(node.id.frame)
        )
        assert store.finished(node)


def test_results_are_batched_in_order_while_the_disk_is_busy(store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = SlowDisk(store, monkeypatch)
    with Writer(store) as writer:
        writer.keep(result(NODES[0]))
        disk.wait()
        for node in NODES[1:5]:
            writer.keep(result(node))
        disk.allow(2)
        writer.flush()
    assert [names for kind, names in disk.calls if kind == "line"] == [["0.0"], ["1.0", "2.0", "3.0", "4.0"]]


def test_state_is_deleted_after_its_readers_or_never_written(store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = SlowDisk(store, monkeypatch)
    with Writer(store) as writer:
        writer.keep(result(NODES[0]))
        disk.wait()
        for node in NODES[1:4]:  # each reads the one before
            writer.keep(result(node))
            writer.release(StateId(node.id.frame - 1))
        disk.allow(2)
        writer.flush()
    assert disk.calls[:2] == [("write", ["0.0", "0"]), ("line", ["0.0"])]
    assert disk.calls[2:4] == [("write", ["3.0", "1", "2", "3"]), ("line", ["1.0", "2.0", "3.0"])]
    assert disk.calls[4][0] == "delete"
    assert "0.0" in disk.calls[4][1]
    assert states_in(store) == ["3.0.npy"]
    assert store.finished_nodes(NODES) == {StateId(0), StateId(1), StateId(2), StateId(3)}


def test_released_state_that_is_made_again_is_kept(store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = SlowDisk(store, monkeypatch)
    with Writer(store) as writer:
        writer.keep(result(NODES[0]))
        disk.wait()
        writer.release(StateId(0))
        writer.keep(result(NODES[0]))
        disk.allow(2)
    assert states_in(store) == ["0.0.npy"]


def test_writers_share_one_budget(store: RunStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    disk = SlowDisk(store, monkeypatch)
    kept: list[int] = []
    with (
        RunStore.create(tmp_path / "other", store.manifest) as other,
        Writer(store, budget=(budget := WriteBudget(24 * MIB))) as one,
    ):

        def give() -> None:
            for node in NODES[1:]:
                with Writer(other, budget=budget) as another:
                    another.keep(result(node, mebibytes=10))
                kept.append(node.id.frame)

        for node in NODES[:2]:
            one.keep(result(node, mebibytes=10))  # 20 of 24 MiB
        disk.wait()
        thread = threading.Thread(target=give)
        thread.start()
        thread.join(timeout=0.2)
        assert kept == []
        assert thread.is_alive()
        disk.allow(2)
        thread.join(timeout=SOON)
        assert kept == [node.id.frame for node in NODES[1:]]


def test_small_results_count_so_that_a_kill_loses_few(store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = SlowDisk(store, monkeypatch)
    given = threading.Semaphore(0)
    with Writer(store, budget=WriteBudget(16 * MIB)) as writer:

        def give() -> None:
            for node in NODES:
                writer.keep(result(node))
                given.release()

        thread = threading.Thread(target=give)
        thread.start()
        disk.wait()
        assert all(given.acquire(timeout=SOON) for _ in range(4))
        assert not given.acquire(timeout=0.2)
        disk.allow(len(NODES))
        thread.join(timeout=SOON)
    assert done_in(store) == [str(node.id) for node in NODES]


def test_result_larger_than_the_budget_is_written_alone(store: RunStore) -> None:
    with Writer(store, budget=WriteBudget(MIB)) as writer:
        for node in NODES[:3]:
            writer.keep(result(node, mebibytes=5))
    assert done_in(store) == ["0.0", "1.0", "2.0"]


def full(path: Path) -> None:
    path.write_bytes(b"half")
    raise OSError(28, "No space left on device")


def test_error_reaches_every_caller_and_keeps_earlier_results(store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = SlowDisk(store, monkeypatch)
    budget = WriteBudget(64 * MIB)
    with Writer(store, budget=budget) as writer:
        writer.keep(result(NODES[0]))
        disk.wait()
        for node in NODES[1:6]:
            writer.keep(result(node, write_frame=full if node.id.frame == 3 else None))
        disk.allow(9)
        with pytest.raises(DiskFullError, match=r"no space left on the disk of .*frames"):
            writer.flush()
        assert [writer.lasts(node.id) for node in NODES[:3]] == [True, True, True]
        for node, seconds in ((NODES[3], 0.0), (NODES[5], SOON)):
            with pytest.raises(DiskFullError):
                writer.lasts(node.id, timeout_seconds=seconds)
        for _ in range(40):  # what it does not take needs no room
            with pytest.raises(DiskFullError, match="free some space"):
                writer.keep(result(NODES[6]))
        writer.release(StateId(0))
    assert done_in(store) == ["0.0", "1.0", "2.0"]
    assert not list(store.folder.rglob(".*part*"))
    assert store.finished_nodes(NODES) == {StateId(0), StateId(1), StateId(2)}
    with Writer(store, budget=budget) as writer:
        for node in NODES[3:]:
            writer.keep(result(node))
    assert done_in(store) == [str(node.id) for node in NODES]


def test_error_reaches_a_caller_that_waits_for_the_budget(store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = SlowDisk(store, monkeypatch)
    heard: list[BaseException] = []
    with Writer(store, budget=WriteBudget(4 * MIB)) as writer:
        writer.keep(result(NODES[0], write_frame=lambda path: None))
        disk.wait()

        def give() -> None:
            try:
                writer.keep(result(NODES[1]))
            except OutputError as error:
                heard.append(error)

        thread = threading.Thread(target=give)
        thread.start()
        disk.allow(9)
        thread.join(timeout=SOON)
        assert [str(error).split(":")[0] for error in heard]
    assert "was not written" in str(heard[0])


def test_exit_with_an_error_writes_submitted_results(store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = SlowDisk(store, monkeypatch)

    def stop() -> None:
        with Writer(store) as writer:
            for node in NODES:
                writer.keep(result(node))
            disk.allow(len(NODES))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop()
    assert done_in(store) == [str(node.id) for node in NODES]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("write")]


def test_thread_that_cannot_start_blocks_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[threading.Thread] = []
    start = threading.Thread.start

    def starting(thread: threading.Thread) -> None:
        if len(begun) == 2:
            raise RuntimeError("can't start new thread")
        start(thread)
        begun.append(thread)

    monkeypatch.setattr(threading.Thread, "start", starting)
    with pytest.raises(RuntimeError, match="new thread"):
        _start_threads(3)
    for thread in begun:
        thread.join(timeout=10)
    assert not any(thread.is_alive() for thread in begun)
