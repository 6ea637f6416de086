"""Fixtures that the tests of several rooms share."""

import os
import signal
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from support.command_line import Vidnst, command_line
from support.media import write_burst, write_style

from vidnst.farm import worker_roster
from vidnst.runs import async_writer

# A deadline would be a timed assertion: it fails where the machine is busy. The same examples every time, so that a
# change is judged by what it changed; HYPOTHESIS_PROFILE=explore looks for new ones.
settings.register_profile("explore", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("vidnst", settings.get_profile("explore"), derandomize=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "vidnst"))

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

_SHARED = Path(os.environ.get("VIDNST_TEST_DATA", Path(__file__).resolve().parents[2] / "shared"))


@pytest.fixture(scope="session")
def shared() -> Callable[[str], Path]:
    """Returns the path of a real clip, picture or weights file kept next to the checkout; skips the test without it."""

    def find(name: str) -> Path:
        path = _SHARED / name
        if not path.exists():
            pytest.skip(f"{path} is missing; set VIDNST_TEST_DATA to a folder that has {name}")
        return path

    return find


@pytest.fixture
def heeded_hangup() -> Iterator[None]:
    """Lets a hangup have its usual effect here and in child processes; tests below `nohup` ignore it."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.fixture
def vidnst(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Vidnst]:
    """Runs a command in this process and returns its exit status and texts."""
    with command_line(monkeypatch, capsys) as run:
        yield run


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No weights from the environment, an empty cache, and no network."""

    def unreachable(*_: object, **__: object) -> None:
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr(urllib.request, "urlopen", unreachable)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    for name in ("VIDNST_WEIGHTS", "VIDNST_RAFT_WEIGHTS"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def without_packaged_vgg19(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine where the package with VGG19's filters is not installed."""
    monkeypatch.setattr("vidnst.style.network.packaged.DISTRIBUTION", "absent-from-this-machine")


@pytest.fixture
def without_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on devices without fast bfloat16, so that estimates and memory modes are the same on every machine."""
    monkeypatch.setattr("vidnst.style.network.precision.supports_bfloat16", lambda device: False)


@pytest.fixture
def immediate_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every result is written before the next one is taken, so that events lag behind the work by one frame at most."""
    monkeypatch.setattr(async_writer, "PROCESS_BUDGET", async_writer.WriteBudget(1))


@pytest.fixture
def no_prefetch(monkeypatch: pytest.MonkeyPatch) -> None:
    """No worker gets a node before it has finished the one that it is at."""
    monkeypatch.setattr(worker_roster, "PREFETCH_SECONDS", float("-inf"))


@pytest.fixture(scope="module")
def burst(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with pictures of a moving texture: as many as the test module's constant `FRAMES`, of 96x64 pixels."""
    return write_burst(tmp_path_factory.mktemp("burst"), request.module.FRAMES, size=(96, 64), cells=(12, 16))


@pytest.fixture(scope="session")
def style(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A style picture of coloured squares."""
    return write_style(tmp_path_factory.mktemp("style") / "style.png")
