"""Fixtures that every room's tests share."""

import os
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from support.command_line import Vidnst, command_line

# A deadline would be a timed assertion: it fails where the machine is busy. The same examples every time, so that a
# change is judged by what it changed; HYPOTHESIS_PROFILE=explore looks for new ones.
settings.register_profile("explore", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("vidnst", settings.get_profile("explore"), derandomize=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "vidnst"))

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

_SHARED = Path(os.environ.get("VIDNST_TEST_DATA", Path(__file__).resolve().parents[2] / "shared"))


@pytest.fixture(scope="session")
def shared() -> Callable[[str], Path]:
    """Path of a real clip, picture or weights file kept beside the checkout; skips the test where it is missing."""

    def find(name: str) -> Path:
        path = _SHARED / name
        if not path.exists():
            pytest.skip(f"{path} is not here; set VIDNST_TEST_DATA to a folder that has {name}")
        return path

    return find


@pytest.fixture
def vidnst(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Vidnst]:
    """Runs a command in this process; what it said."""
    with command_line(monkeypatch, capsys) as run:
        yield run


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No weights from the environment, an empty cache, and no way out."""

    def unreachable(*_: object, **__: object) -> None:
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr(urllib.request, "urlopen", unreachable)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    for name in ("VIDNST_WEIGHTS", "VIDNST_RAFT_WEIGHTS"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def plain_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on devices for which bfloat16 is no gain: what is reckoned, and what memory is saved by, is then the same."""
    monkeypatch.setattr("vidnst.style.network.precision.suits_half", lambda device: False)
