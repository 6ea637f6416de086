"""Renders that are stopped or disturbed from outside: their status, what is left running, and what is resumed."""

import os
import signal
import time
from pathlib import Path

import pytest
from support.media import write_burst, write_style
from support.processes import wait_until
from support.signalled_renders import SignalledRender, render_arguments, write_render_settings

from vidnst.runs import RunLog

pytestmark = [
    pytest.mark.usefixtures("heeded_hangup"),
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks for processes in /proc"),
]

EXECUTORS = ["inline", pytest.param("ray", marks=pytest.mark.ray)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a source, a style and the settings of both executors."""
    folder = tmp_path_factory.mktemp("signals")
    (folder / "burst").mkdir()
    write_burst(folder / "burst", 6, size=(96, 64), cells=(12, 16))
    write_style(folder / "style.png")
    for executor in ("inline", "ray"):
        write_render_settings(folder / f"{executor}.json", executor=executor)
    return folder


@pytest.fixture(scope="module")
def undisturbed(folder: Path) -> bytes:
    """The bytes of a render that nothing disturbs; both executors paint the same."""
    arguments, output = render_arguments(folder, "inline", "undisturbed")
    render = SignalledRender.start(arguments)
    assert render.end() == 0, render.errors
    return output.read_bytes()


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize(
    ("phase", "number"), [("probing", signal.SIGTERM), ("painting", signal.SIGINT), ("painting", signal.SIGHUP)]
)
def test_stopped_render_leaves_nothing_and_resumes(
    executor: str, phase: str, number: signal.Signals, folder: Path, undisturbed: bytes
) -> None:
    arguments, output = render_arguments(folder, executor, f"{executor}-{phase}-{number.name}")
    render = SignalledRender.start(arguments)
    assert render.wait_for(phase), render.errors
    render.signal(number, to_group=number != signal.SIGTERM)  # Ctrl-C and a closed terminal reach Ray's processes, too
    try:
        assert render.end() == 130, render.errors
        assert wait_until(lambda: not render.left(), timeout_seconds=60), render.left()
    finally:
        render.kill_left()
    assert any("Ctrl-C again to stop now" in line for line in render.errors)
    assert not output.exists()
    assert SignalledRender.start(arguments).end() == 0
    assert output.read_bytes() == undisturbed


@pytest.mark.ray
def test_render_that_is_stopped_while_ray_starts_ends_in_words(folder: Path) -> None:
    arguments, _ = render_arguments(folder, "ray", "starting")
    render = SignalledRender.start(arguments)
    try:
        assert wait_until(lambda: any("gcs_server" in command for command in render.left().values()))
        render.signal(signal.SIGINT, to_group=True)
        assert render.end() == 130, render.errors
        assert wait_until(lambda: not render.left(), timeout_seconds=30), render.left()
    finally:
        render.kill_left()
    assert "vidnst: stopped" in render.errors[-1]
    assert "continue with: vidnst resume" in render.errors[-1] or "nothing was painted yet" in render.errors[-1]


@pytest.mark.parametrize("executor", EXECUTORS)
def test_two_signals_are_on_record_as_a_stop(executor: str, folder: Path) -> None:
    arguments, output = render_arguments(folder, executor, f"twice-{executor}")
    render = SignalledRender.start(arguments)
    try:
        assert render.wait_for("painting"), render.errors
        for _ in range(2):
            render.signal(signal.SIGINT, to_group=True)
            time.sleep(0.3)
        assert render.end() == 130, render.errors
        assert wait_until(lambda: not render.left(), timeout_seconds=30), render.left()
    finally:
        render.kill_left()
    run = output.with_name(f"{output.name}.vidnst")
    assert f"continue with: vidnst resume {run}" in render.errors[-1]
    assert RunLog.read(run).session_end == "stopped"


@pytest.mark.ray
def test_killed_driver_leaves_no_process_of_ray(folder: Path) -> None:
    arguments, _ = render_arguments(folder, "ray", "killed")
    render = SignalledRender.start(arguments)
    assert render.wait_for("painting"), render.errors
    assert len(render.left()) > 3
    render.signal(signal.SIGKILL)
    try:
        assert render.end() == 128 + signal.SIGKILL
        assert wait_until(lambda: not render.left(), timeout_seconds=30), render.left()
    finally:
        render.kill_left()


@pytest.mark.parametrize("executor", EXECUTORS)
def test_render_that_is_paused_for_seconds_loses_nothing(executor: str, folder: Path, undisturbed: bytes) -> None:
    arguments, output = render_arguments(folder, executor, f"paused-{executor}")
    quick_checks = {"RAY_health_check_period_ms": "200", "RAY_health_check_timeout_ms": "200"}
    render = SignalledRender.start(arguments, environment=quick_checks)
    assert render.wait_for("painting"), render.errors
    # Of Ray, the process that another one asks whether it lives; at these periods, five missed answers are two seconds.
    paused = [pid for pid, command in render.left().items() if "/raylet " in command] or [render.process.pid]
    for pid in paused:
        os.kill(pid, signal.SIGSTOP)
    time.sleep(8)
    for pid in paused:
        os.kill(pid, signal.SIGCONT)
    assert render.end() == 0, render.errors
    assert not {"node_failed", "worker_died"} & {event["event"] for event in render.events}
    assert output.read_bytes() == undisturbed


def test_home_that_cannot_be_written_is_no_obstacle(folder: Path, undisturbed: bytes) -> None:
    arguments, output = render_arguments(folder, "inline", "homeless")
    render = SignalledRender.start(arguments, environment={"HOME": "/proc/none", "XDG_CACHE_HOME": "/proc/none"})
    assert render.end() == 0, render.errors
    assert output.read_bytes() == undisturbed


def test_moved_run_folder_is_said_in_a_sentence(folder: Path, undisturbed: bytes) -> None:
    arguments, output = render_arguments(folder, "inline", "moved")
    run = output.with_name(f"{output.name}.vidnst")
    render = SignalledRender.start(arguments)
    assert render.wait_for("painting"), render.errors
    run.rename(folder / "elsewhere")
    assert render.end() == 6, render.errors
    (said,) = [line for line in render.errors if line.startswith("vidnst: ")]
    assert "has gone; put it back if it was moved" in said
    assert wait_until(lambda: not render.left(), timeout_seconds=60), render.left()
    (folder / "elsewhere").rename(run)
    assert SignalledRender.start(arguments).end() == 0
    assert output.read_bytes() == undisturbed
