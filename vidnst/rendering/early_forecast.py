"""A forecast that is made in a thread of its own while workers start, so that a time left is shown before any node."""

import logging
import os
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self, TypeAlias

from vidnst.rendering.node_times import SecondsOf
from vidnst.rendering.prepare import CheckedRequest

Forecaster: TypeAlias = Callable[[CheckedRequest], SecondsOf | None]
"""Estimates what the nodes of a render take one worker; None if that cannot be told before any is done."""

_log = logging.getLogger(__name__)


class EarlyForecast:
    """Makes a forecast while the block runs; leaving it waits for the thread, which takes a second or two.

    Where this process paints by itself, nothing is estimated, since that would hold the painting up.

    Args:
        forecaster: makes the forecast; None for none.
        checked: the render that it is for.
        use: called with the forecast, in its thread.
    """

    def __init__(
        self,
        forecaster: Forecaster | None,
        checked: CheckedRequest,
        use: Callable[[SecondsOf], object] | None = None,
    ) -> None:
        farm = checked.config.farm
        is_local = farm.executor == "ray" and farm.address is None and not os.environ.get("RAY_ADDRESS")
        self._forecaster = forecaster if is_local and checked.config.stylizes else None
        self._checked = checked
        self._lock = threading.Lock()
        self._use = use
        self._found: SecondsOf | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        if self._forecaster is not None:
            self._thread = threading.Thread(target=self._run, name="forecast", daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._use = None
        if self._thread is not None:
            self._thread.join()

    def then(self, use: Callable[[SecondsOf], object]) -> None:
        """Call `use` with the forecast: now if it is there, else in its thread once it is."""
        with self._lock:
            self._use = use
            if self._found is not None:
                use(self._found)

    def _run(self) -> None:
        assert self._forecaster is not None
        try:
            found = self._forecaster(self._checked)
        except Exception as error:  # the render goes on without
            _log.info("no forecast: %s", error)
            return
        with self._lock:
            self._found = found
            if found is not None and self._use is not None:
                self._use(found)
