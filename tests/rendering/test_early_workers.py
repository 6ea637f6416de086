"""Workers that start in a thread while a render is prepared: who gets them, and that they always end."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from support.media import write_burst, write_style
from support.renders import quick_config

from vidnst.config import FarmConfig
from vidnst.errors import CancelledError, FarmError, RunError
from vidnst.farm.jobs import SharingPool
from vidnst.farm.provisioning import WorkerCounts
from vidnst.processes.abandoned_work import is_any_left, wait_for_abandoned
from vidnst.rendering.early_workers import EarlyWorkers, WorkersAsked
from vidnst.runs.request import Request

COUNTS = WorkerCounts(2, 1, 1)


class Farm:
    """Stands in for `start_workers`, and notes which threads start and end workers."""

    def __init__(self, error: Exception | None = None) -> None:
        self.pool = cast(SharingPool, SimpleNamespace())
        self.error = error
        self.asked: list[dict[str, Any]] = []
        self.threads: list[str] = []
        self.running = 0

    @contextmanager
    def __call__(self, farm: FarmConfig, **options: Any) -> Iterator[tuple[SharingPool, WorkerCounts]]:
        self.asked.append(options)
        self.threads.append(threading.current_thread().name)
        if self.error is not None:
            raise self.error
        self.running += 1
        try:
            yield self.pool, COUNTS
        finally:
            self.running -= 1
            self.threads.append(threading.current_thread().name)


def request(folder: Path, **changes: Any) -> Request:
    config = quick_config({"farm": {"executor": "ray"}}, **changes)
    return Request("in", ("style.png",), folder / "out.mp4", config)


def test_workers_start_and_end_in_one_thread(tmp_path: Path) -> None:
    farm = Farm()
    asked = request(tmp_path)
    with EarlyWorkers(farm) as early:
        early.begin(asked, 7)
        with early.started(WorkersAsked(asked.config.farm, 7)) as workers:
            assert workers == (farm.pool, COUNTS)
            assert farm.running == 1
        assert farm.running == 0
    # Linux ends Ray's processes together with the thread that has started them.
    assert farm.threads == ["start-workers", "start-workers"]
    assert farm.asked == [{"width": 7, "threads": None, "raft": False, "inline": False}]


def test_workers_that_nobody_takes_end(tmp_path: Path) -> None:
    farm = Farm()
    with pytest.raises(RunError, match="refused"), EarlyWorkers(farm) as early:  # noqa: PT012 - where it is left
        early.begin(request(tmp_path), 7)
        raise RunError("refused", "do something else")
    assert (len(farm.asked), farm.running) == (1, 0)


def test_others_than_those_begun_are_started_anew(tmp_path: Path) -> None:
    farm, asked = Farm(), request(tmp_path)
    wanted = WorkersAsked(asked.config.farm, 7, threads=3)
    with EarlyWorkers(farm) as early:
        early.begin(asked, 7)
        with early.started(wanted):
            assert farm.running == 1
    assert [options["threads"] for options in farm.asked] == [None, 3]
    assert farm.running == 0


def test_failed_start_is_raised_where_workers_are_wanted(tmp_path: Path) -> None:
    asked = request(tmp_path)
    with EarlyWorkers(Farm(FarmError("no room", "make some"))) as early:
        early.begin(asked, 7)
        with pytest.raises(FarmError, match="no room"), early.started(WorkersAsked(asked.config.farm, 7)):
            raise AssertionError("it is not entered")


@pytest.mark.parametrize(
    "changes",
    [{"farm": {"executor": "inline"}}, {"schedule": {"kind": "chain"}}, {"optimize": {"iterations": 0}}],
)
def test_nothing_starts_that_may_not_be_needed(tmp_path: Path, changes: dict[str, Any]) -> None:
    farm = Farm()
    with EarlyWorkers(farm) as early:
        early.begin(request(tmp_path, **changes), 7)
    assert farm.asked == []


def test_run_that_exists_starts_nothing_early(tmp_path: Path) -> None:
    farm, asked = Farm(), request(tmp_path)
    asked.folder.mkdir()
    (asked.folder / "run.json").write_text("{}")
    with EarlyWorkers(farm) as early:
        early.begin(asked, 7)
        early.begin(replace(asked, output=tmp_path / "other.mp4"), 3)
    assert [options["width"] for options in farm.asked] == [3]


class SlowFarm(Farm):
    """Starts workers only once it may, as Ray, whose start nothing interrupts."""

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.may_start = threading.Event(), threading.Event()

    @contextmanager
    def __call__(self, farm: FarmConfig, **options: Any) -> Iterator[tuple[SharingPool, WorkerCounts]]:
        self.begun.set()
        self.may_start.wait()
        with super().__call__(farm, **options) as started:
            yield started


@pytest.mark.parametrize("when", ["preparing", "waiting"])
def test_stopped_command_does_not_wait_for_a_start(when: str, tmp_path: Path) -> None:
    farm, asked, stopping = SlowFarm(), request(tmp_path), threading.Event()
    try:
        with pytest.raises(CancelledError, match="stopped"), EarlyWorkers(farm, stopping.is_set) as early:  # noqa: PT012
            early.begin(asked, 7)
            farm.begun.wait()
            stopping.set()
            if when == "preparing":
                raise CancelledError("stopped")
            with early.started(WorkersAsked(asked.config.farm, 7)):
                raise AssertionError("it is not entered")
        assert is_any_left()
    finally:
        farm.may_start.set()
    wait_for_abandoned()
    assert (is_any_left(), farm.running) == (False, 0)
    assert farm.threads == ["start-workers", "start-workers"]


def test_second_interrupt_waits_for_no_end_of_workers(tmp_path: Path) -> None:
    may_end, asked = threading.Event(), request(tmp_path)

    @contextmanager
    def start(farm: FarmConfig, **options: Any) -> Iterator[tuple[SharingPool, WorkerCounts]]:
        yield cast(SharingPool, SimpleNamespace()), COUNTS
        may_end.wait()

    try:
        with pytest.raises(KeyboardInterrupt), EarlyWorkers(start, lambda: bool(painting)) as early:  # noqa: PT012
            painting: list[bool] = []
            with early.started(WorkersAsked(asked.config.farm, 7)):
                painting.append(True)
                raise KeyboardInterrupt
        assert is_any_left()
    finally:
        may_end.set()
    wait_for_abandoned()
    assert not is_any_left()


def test_command_that_is_stopping_starts_nothing(tmp_path: Path) -> None:
    farm = Farm()
    with pytest.raises(CancelledError), EarlyWorkers(farm, lambda: True) as early:
        early.begin(request(tmp_path), 7)
    assert farm.asked == []


REFUSED = """
import sys
from vidnst.__main__ import main
sys.argv = ["vidnst", "render", *sys.argv[1:]]
try:
    main()
finally:
    print(sorted({"torch", "ray"} & set(sys.modules)))
"""


@pytest.mark.parametrize("mistake", ["style", "output", "weights", "edges"])
def test_refused_request_loads_neither_torch_nor_ray(tmp_path: Path, mistake: str) -> None:
    (tmp_path / "in").mkdir()
    write_burst(tmp_path / "in", 2, size=(48, 32), cells=(12, 16))
    write_style(tmp_path / "style.png")
    style = "none.png" if mistake == "style" else "style.png"
    words = [str(tmp_path / "in"), "--style", str(tmp_path / style)]
    words += ["-o", str(tmp_path / ("out.xyz" if mistake == "output" else "out.mp4"))]
    words += ["--weights", "none.pth"] if mistake == "weights" else ["--backbone", "slim"]
    words += ["--set", "losses.edges_weight=1", "--set", "losses.edges_cells={64: 1}"] if mistake == "edges" else []
    command = [sys.executable, "-c", REFUSED, *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode in (2, 4, 5, 6), done.stderr
    assert done.stdout.splitlines()[-1] == "[]"
    assert not (tmp_path / "out.mp4.vidnst").exists()


def test_damaged_weights_are_refused_before_ray_starts(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    write_burst(tmp_path / "in", 2, size=(48, 32), cells=(12, 16))
    write_style(tmp_path / "style.png")
    (tmp_path / "damaged.pth").write_bytes(b"0" * 5000)
    words = [tmp_path / "in", "--style", tmp_path / "style.png", "-o", tmp_path / "out.mp4"]
    command = [sys.executable, "-c", REFUSED, *map(str, words), "--weights", str(tmp_path / "damaged.pth")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 5, done.stderr
    assert done.stdout.splitlines()[-1] == "['torch']"
