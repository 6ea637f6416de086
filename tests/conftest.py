"""Fixtures that every room's tests share."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

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
