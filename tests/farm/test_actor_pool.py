"""The pool of Ray actors, with a real Ray: results, errors, deaths, and what it refuses."""

import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import fake_workers
from support.fake_workers import (
    CHAIN,
    DigestHost,
    DigestWorker,
    Echo,
    EchoFactory,
    Recorder,
    SlowDigests,
    plan_of_shots,
)

from vidnst.errors import FarmError, NumericalError, WeightsError
from vidnst.farm.interfaces import Component, NodeEventKind
from vidnst.farm.jobs import DeviceLostError, Outcome, WorkerGroup
from vidnst.farm.plan import Lane
from vidnst.farm.ray.actor_pool import RayPool, default_workers
from vidnst.farm.ray.connection import RaySession
from vidnst.farm.scheduler import run_plan
from vidnst.farm.schedules import by_shot
from vidnst.frames import Shot

pytestmark = pytest.mark.ray


@pytest.fixture(scope="module")
def session() -> Iterator[RaySession]:
    with RaySession(address="local", cpus=6) as session:
        import ray

        pickling: Any = ray.cloudpickle
        pickling.register_pickle_by_value(fake_workers)  # workers do not have the tests' folder on their path
        yield session
        pickling.unregister_pickle_by_value(fake_workers)


@pytest.fixture(scope="module")
def pool(session: RaySession) -> Iterator[RayPool]:
    table = np.ones(1_000_000)
    teams = {Lane.STYLE: WorkerGroup(EchoFactory(table), 2, cpus=1), Lane.FLOW: WorkerGroup(EchoFactory(), 1, cpus=0)}
    pool = RayPool(session, teams, start_timeout_seconds=120)
    yield pool
    pool.close()


def outcome_of(pool: RayPool, worker: str, job: Echo) -> Outcome:
    pool.submit(worker, job)
    return next_outcome(pool)


def next_outcome(pool: RayPool) -> Outcome:
    outcomes: list[Outcome] = []
    while not outcomes:
        outcomes = [outcome for outcome in pool.wait(5) if not outcome.back]
    (outcome,) = outcomes
    return outcome


def test_workers_are_processes_and_read_the_factory(pool: RayPool) -> None:
    assert pool.workers(Lane.STYLE) == ("style-0", "style-1")
    assert pool.workers(Lane.FLOW) == ("flow-0",)
    pids = {name: outcome_of(pool, name, Echo("pid")).value for name in ("style-0", "style-1", "flow-0")}
    assert len({*pids.values(), os.getpid()}) == 4
    assert outcome_of(pool, "style-1", Echo("table")).value == 1_000_000


def test_arrays_are_returned_unchanged(pool: RayPool) -> None:
    frame = np.random.default_rng(0).integers(0, 65536, (360, 640, 3), np.uint16)
    outcome = outcome_of(pool, "style-0", Echo("", frame))
    np.testing.assert_array_equal(outcome.value, frame)
    assert outcome.value.dtype == np.uint16


def test_worker_errors_keep_their_type(pool: RayPool) -> None:
    numerical = outcome_of(pool, "style-0", Echo("nan"))
    assert type(numerical.error) is NumericalError
    assert numerical.error.remedy == "lower the step"
    assert not numerical.died
    other = outcome_of(pool, "style-0", Echo("error"))
    assert type(other.error) is ValueError
    assert str(other.error) == "no such thing"
    assert "in run" in other.error.__notes__[0]  # the traceback over there, for those who ask for it


def test_wait_without_jobs_returns_nothing(pool: RayPool) -> None:
    assert pool.wait(0.01) == []


def test_dead_worker_is_replaced_under_its_name(pool: RayPool) -> None:
    before = outcome_of(pool, "style-1", Echo("pid")).value
    outcome = outcome_of(pool, "style-1", Echo("exit"))
    assert outcome.died
    assert not outcome.lost
    assert "the process of worker style-1 ended" in str(outcome.error)
    assert outcome_of(pool, "style-1", Echo("pid")).value != before


def test_worker_that_lost_its_gpu_gets_a_new_process(pool: RayPool) -> None:
    before = outcome_of(pool, "style-1", Echo("pid")).value
    outcome = outcome_of(pool, "style-1", Echo("lost"))
    assert isinstance(outcome.error, DeviceLostError)
    assert (outcome.died, outcome.away, outcome.lost) == (True, True, False)
    assert "unspecified launch failure" in str(outcome.error)
    assert outcome_of(pool, "style-1", Echo("pid")).value != before


def test_prefetched_jobs_end_in_order(pool: RayPool) -> None:
    for worker in ("style-0", "style-1"):
        pool.submit(worker, Echo("sleep", 0.2))
        pool.submit(worker, Echo("", worker))
    values: dict[str, list[Any]] = {"style-0": [], "style-1": []}
    while sum(map(len, values.values())) < 4:
        for outcome in pool.wait(5):
            values[outcome.worker].append(outcome.value)
    assert values == {"style-0": [0.2, "style-0"], "style-1": [0.2, "style-1"]}


def test_prefetched_job_of_dead_actor_has_no_outcome(pool: RayPool) -> None:
    pool.submit("style-1", Echo("exit"))
    pool.submit("style-1", Echo("", "behind"))
    outcomes: list[Outcome] = []
    while not any(outcome.back for outcome in outcomes):
        outcomes += pool.wait(5)
    assert [(outcome.died, outcome.away) for outcome in outcomes] == [(True, True), (False, False)]
    assert outcome_of(pool, "style-1", Echo("", "later")).value == "later"


def test_concurrent_actor_runs_two_jobs_at_once(session: RaySession) -> None:
    teams = {
        Lane.STYLE: WorkerGroup(EchoFactory(), 1, cpus=0, concurrency=2),
        Lane.FLOW: WorkerGroup(EchoFactory(), 1, cpus=0),
    }
    pool = RayPool(session, teams, start_timeout_seconds=120)
    try:
        for number in range(2):
            pool.submit("style-0", Echo("meet", number))  # each waits for the other
        values: list[Any] = []
        while len(values) < 2:
            values += [outcome.value for outcome in pool.wait(5)]
        assert values == [0, 1]
    finally:
        pool.close()


def test_killed_actor_costs_one_attempt_and_nothing_else(session: RaySession) -> None:
    class DigestOrPid(DigestWorker):
        def run(self, task: Any) -> Any:
            return os.getpid() if task == "pid" else super().run(task)

    shots = [Shot(0, 8), Shot(8, 16)]
    host = DigestHost(plan_of_shots(CHAIN, shots))
    groups = {
        Lane.STYLE: WorkerGroup(lambda: DigestOrPid(seconds=0.05), 2, cpus=1),
        Lane.FLOW: WorkerGroup(SlowDigests(), 1, cpus=0),
    }
    pool = RayPool(session, groups)
    for worker in pool.workers(Lane.STYLE):
        pool.submit(worker, "pid")
    pids: dict[str, int] = {}
    while len(pids) < 2:
        pids |= {outcome.worker: outcome.value for outcome in pool.wait(5)}
    recorder = Recorder()

    def listen(event: Any) -> None:
        recorder(event)
        if event.kind is NodeEventKind.STARTED and event.node.id.frame == 4 and event.worker in pids:
            os.kill(pids[event.worker], signal.SIGKILL)
            pids.clear()

    totals = run_plan((Component(nodes, host) for nodes in by_shot(CHAIN, shots)), pool, listener=listen)
    pool.close()
    assert not pids
    assert set(host.kept) == set(host.truth)
    assert totals[NodeEventKind.DIED] == len(recorder.of(NodeEventKind.DIED)) == 1


def test_too_few_gpus_is_an_error_with_their_number(session: RaySession) -> None:
    wanted = int(session.gpus) + 2
    with pytest.raises(
        FarmError, match=rf"{wanted} workers with 1 GPU each do not fit: there are {session.gpus:g} GPUs"
    ):
        RayPool(session, {Lane.STYLE: WorkerGroup(EchoFactory(), wanted, gpus=1.0)})


def test_too_few_cpu_slots_is_an_error(session: RaySession) -> None:
    with pytest.raises(FarmError, match=r"need 1000 CPU slots and Ray has"):
        RayPool(session, {Lane.STYLE: WorkerGroup(EchoFactory(), 1000)})


def test_workers_without_resources_time_out(session: RaySession) -> None:
    crowd = {Lane.STYLE: WorkerGroup(EchoFactory(), 1, cpus=session.cpus)}
    occupied = RayPool(session, {Lane.STYLE: WorkerGroup(EchoFactory(), 1, cpus=1)})
    with pytest.raises(FarmError, match="0 of 1 workers started within 2 seconds"):
        RayPool(session, crowd, start_timeout_seconds=2)
    occupied.close()


def test_factory_error_keeps_its_type(session: RaySession) -> None:
    with pytest.raises(WeightsError, match="another network"):
        RayPool(session, {Lane.STYLE: WorkerGroup(EchoFactory(mood="refuse"), 1, cpus=0)})


def test_workers_that_die_at_the_start_are_an_error(session: RaySession) -> None:
    with pytest.raises(FarmError, match="worker style-0 died 3 times while it started"):
        RayPool(session, {Lane.STYLE: WorkerGroup(EchoFactory(mood="exit"), 1, cpus=0)})


def test_default_workers_fit_on_the_gpus() -> None:
    assert default_workers(gpus=0) == 0
    assert default_workers(gpus=4) == 4
    assert default_workers(gpus=2, gpus_per_worker=0.1) == 20
    assert default_workers(gpus=2, gpus_per_worker=0.4) == 4
    assert default_workers(gpus=2, gpus_per_worker=0.6) == 2


def child(script: str, **options: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", script], text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options
    )


def error_of(address: str) -> str:
    """Return the message of a connection to an address in a new process."""
    script = (
        "from vidnst.farm.ray.connection import RaySession\n"
        "from vidnst.errors import FarmError\n"
        f"try: RaySession(address={address!r})\n"
        "except FarmError as error: print(error)\n"
    )
    with child(script) as process:
        output, errors = process.communicate(timeout=90)
    assert process.returncode == 0
    assert "Traceback" not in errors
    return output


def test_unreachable_cluster_is_an_error_with_a_remedy() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
        output = error_of(address)
    assert f"no Ray cluster could be joined at {address}" in output
    assert "refused" in output
    assert "--address" in output


@pytest.mark.slow
def test_silent_address_is_an_error_after_a_timeout() -> None:
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        output = error_of(f"127.0.0.1:{mute.getsockname()[1]}")
    assert "no answer within 15 seconds" in output


LOGGING = """
import io, logging, sys, time
from vidnst.farm.jobs import WorkerGroup
from vidnst.farm.ray.actor_pool import RayPool
from vidnst.farm.ray.connection import RaySession
from vidnst.farm.plan import Lane

class Talker:
    def run(self, job):
        logging.getLogger("vidnst.farm.test").debug(job)

sys.stdout = sys.stderr = output = io.StringIO()
logging.getLogger("vidnst").setLevel({level})
with RaySession(address="local", cpus=1) as session:
    pool = RayPool(session, {{Lane.STYLE: WorkerGroup(Talker, 1)}})
    pool.submit("style-0", "a line of a worker")
    while not pool.wait(1):
        pass
    deadline = time.monotonic() + {patience_seconds}  # Ray collects its workers' output now and then
    while "vidnst.farm.test: a line of a worker" not in output.getvalue() and time.monotonic() < deadline:
        time.sleep(0.1)
    print(time.monotonic() < deadline, file=sys.__stdout__)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("level", "patience_seconds", "shown"), [(logging.DEBUG, 60, True), (logging.WARNING, 5, False)]
)
def test_worker_logs_reach_the_driver_at_debug_level(level: int, patience_seconds: int, shown: bool) -> None:
    script = LOGGING.format(level=level, patience_seconds=patience_seconds)
    # A session in this process may have told Ray to drop all output.
    environment = {name: value for name, value in os.environ.items() if name != "RAY_DEDUP_LOGS_SKIP_REGEX"}
    with child(script, env=environment) as process:
        output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert output.strip() == str(shown)


STOPPABLE = """
import os, signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job of a shell inherits that it is ignored
from vidnst.farm.jobs import WorkerGroup
from vidnst.farm.ray.actor_pool import RayPool
from vidnst.farm.ray.connection import RaySession
from vidnst.farm.plan import Lane

class Sleeper:
    def run(self, job):
        if job == "die":
            os._exit(1)
        time.sleep(job)

with RaySession(address="local", cpus=1) as session:
    pool = RayPool(session, {Lane.STYLE: WorkerGroup(Sleeper, 1), Lane.FLOW: WorkerGroup(Sleeper, 1, cpus=0)})
    for job in ("die", 0):
        pool.submit("flow-0", job)
        while all(outcome.back for outcome in pool.wait(1)):
            pass
    pool.submit("style-0", 600)
    print("up", flush=True)
    try:
        while not pool.wait(1):
            pass
    except KeyboardInterrupt:
        pool.close()
print("down", flush=True)
"""


def processes_of(session_id: int) -> list[str]:
    """Living processes of a session, from /proc; zombies aside."""
    names = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = path.read_text().rpartition(")")
        except OSError:
            continue
        state, _, _, session = rest.split()[:4]
        if int(session) == session_id and state != "Z":
            names.append(name)
    return names


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_stopped_driver_leaves_no_process(how: signal.Signals, tmp_path: Path) -> None:
    out = tmp_path / "stdout"  # a pipe would be held open by Ray's processes
    with out.open("w") as stdout:
        command = [sys.executable, "-c", STOPPABLE]
        process = subprocess.Popen(command, stdout=stdout, stderr=subprocess.DEVNULL, start_new_session=True)
    while process.poll() is None and not out.read_text():
        time.sleep(0.1)
    assert len(processes_of(process.pid)) > 3
    os.killpg(process.pid, how) if how is signal.SIGINT else process.kill()
    process.wait(timeout=120)
    assert out.read_text() == ("up\ndown\n" if how is signal.SIGINT else "up\n")
    patience = time.monotonic() + 60
    while (left := processes_of(process.pid)) and time.monotonic() < patience:
        time.sleep(0.2)
    assert left == []


INTERRUPTED = """
import os, signal, sys, threading
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job of a shell inherits that it is ignored
import ray
from vidnst.farm.ray.connection import RaySession

init = ray.init

def interrupted_init(*arguments, **options):
    for seconds in (0.1, 0.5, 1.0, 2.0):
        timer = threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGINT))
        timer.daemon = True
        timer.start()
    return init(*arguments, **options)

ray.init = interrupted_init
try:
    RaySession(address="local", cpus=1)
except KeyboardInterrupt:
    print(ray.is_initialized(), flush=True)
    os._exit(3)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")
def test_signals_do_not_reach_a_ray_that_is_starting(tmp_path: Path) -> None:
    out = tmp_path / "stdout"
    with out.open("w") as stdout:
        command = [sys.executable, "-c", INTERRUPTED]
        process = subprocess.Popen(command, stdout=stdout, stderr=subprocess.DEVNULL, start_new_session=True)
    assert process.wait(timeout=240) == 3
    assert out.read_text() == "False\n"
    patience = time.monotonic() + 60
    while (left := processes_of(process.pid)) and time.monotonic() < patience:
        time.sleep(0.2)
    assert left == []
