"""The connection to Ray on this machine or to a cluster, which succeeds or fails within seconds."""

import atexit
import logging
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

from vidnst.errors import FarmError
from vidnst.farm.ray.errors import last_line
from vidnst.farm.ray.folders import temporary_folder
from vidnst.farm.ray.local_processes import LocalProcesses
from vidnst.farm.ray.private_session import PrivateSession, forget_token
from vidnst.formatting import printable
from vidnst.processes.child_guard import CHILD_GUARD
from vidnst.processes.uninterrupted import uninterrupted

_JOIN_SECONDS = 15
_KIND = "accelerator_type:"
"""How the names of the resources begin by which Ray tells kinds of accelerators apart."""

_PROBE = """
import os, sys
import ray
ray.init(address=sys.argv[1], configure_logging=False, log_to_driver=False, logging_level="ERROR")
ray.shutdown()
"""


class RaySession:
    """A connection to Ray: to the one of this process, to a cluster, or to a Ray started on this machine.

    With the logger `vidnst` at DEBUG, the output of workers and Ray's warnings are shown.

    Args:
        address: a cluster (`host:port`, `ray://host:port`, or `auto`); None takes RAY_ADDRESS, and without it starts
            Ray here. `local` starts Ray here in any case.
        cpus: CPU slots that a Ray started here offers at least; it offers the number of cores if that is more.

    Raises:
        FarmError: the cluster cannot be reached within about 20 seconds, or Ray does not start.
    """

    def __init__(self, *, address: str | None = None, cpus: int | None = None) -> None:
        verbose = logging.getLogger("vidnst").isEnabledFor(logging.DEBUG)
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # read on import
        # Without it Ray warns about a change of default, and hides the GPUs from actors that hold none.
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        if not verbose:  # Ray prints what raylets say about dead workers on stdout, whatever `log_to_driver` is
            os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", ".")
        import ray

        address = address or os.environ.get("RAY_ADDRESS") or "local"
        quiet: dict[str, Any] = {
            "configure_logging": False,
            "log_to_driver": verbose,
            "logging_level": "WARNING" if verbose else "ERROR",
        }
        self._owned = False
        self._processes = LocalProcesses()
        self._private: PrivateSession | None = None
        if ray.is_initialized():
            pass
        elif address == "local":
            self._start_here(max(os.cpu_count() or 1, cpus or 1), **quiet)
        else:
            self._owned = True
            forget_token()
            _probe(address)
            _start(address, **quiet)
        self.joined = not (self._owned and address == "local")
        """True if this Ray was running before."""

    @property
    def gpus(self) -> float:
        """The number of GPUs of all machines, busy or not."""
        return self._resource("GPU")

    @property
    def cpus(self) -> float:
        """The number of CPU slots of all machines, busy or not."""
        return self._resource("CPU")

    def check(self) -> None:
        """Raise FarmError if a Ray that was started here has ended."""
        self._processes.check()

    @property
    def gpu_kinds(self) -> tuple[str, ...]:
        """The kinds of accelerators that Ray has found on the machines, by its names for them."""
        import ray

        resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
        return tuple(sorted(name.removeprefix(_KIND) for name in resources if name.startswith(_KIND)))

    def close(self) -> None:
        """Disconnect; a Ray that was started here ends with all its processes, and its folder is removed."""
        import ray

        try:
            if self._owned:
                self._owned = False
                with uninterrupted(), self._processes.ending():
                    ray.shutdown()
        finally:
            if self._private is not None:
                atexit.unregister(self.close)
                self._private.close()
                self._private = None

    def _start_here(self, slots: int, **options: Any) -> None:
        self._owned = True
        self._private = PrivateSession(temporary_folder())
        atexit.register(self.close)
        try:
            with self._processes.starting():
                _start("local", num_cpus=slots, **self._private.options, **options)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @staticmethod
    def _resource(name: str) -> float:
        import ray

        resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
        return resources.get(name, 0.0)


def _start(address: str, **options: Any) -> None:
    import ray

    try:
        with uninterrupted(), _without_own_handlers(), _printable_entrypoint():
            ray.init(address=address, **options)
    except KeyboardInterrupt:  # Ray has started, and is to end in an orderly way before its processes are killed
        with uninterrupted():
            ray.shutdown()
        raise
    except (Exception, SystemExit) as error:  # if a cluster is lost while it is joined, Ray calls sys.exit
        ray.shutdown()
        if address == "local":
            remedy = "look at the free memory and at /dev/shm, or render without Ray: --set farm.executor=inline"
            raise FarmError(f"Ray does not start here: {last_line(str(error))}", remedy) from error
        raise _unreachable(address, last_line(str(error))) from error


@contextmanager
def _without_own_handlers() -> Iterator[None]:
    """Let Ray set no handler of SIGTERM: its own ends the process, even while Ray is starting. Nor does it complain
    that it could not, in a thread."""
    from ray._private import utils

    logger = logging.getLogger("ray._private.worker")
    logger.addFilter(_is_no_complaint)
    own = getattr(utils, "set_sigterm_handler", None)
    if own is not None:
        utils.set_sigterm_handler = lambda handler: None
    try:
        yield
    finally:
        logger.removeFilter(_is_no_complaint)
        if own is not None:
            utils.set_sigterm_handler = own


def _is_no_complaint(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith("SIGTERM handler is not set")


@contextmanager
def _printable_entrypoint() -> Iterator[None]:
    """Give Ray this process's command line in UTF-8: it keeps it for its dashboard, and fails at other file names."""
    from ray._private import utils

    own = getattr(utils, "get_entrypoint_name", None)
    if own is None:
        yield
        return
    utils.get_entrypoint_name = lambda: printable(own())
    try:
        yield
    finally:
        utils.get_entrypoint_name = own


def _probe(address: str) -> None:
    """Join the cluster from another process first: in this one, Ray would try for two minutes and then exit."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        if host and port.isdecimal():  # most mistakes show here at once
            socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()
        subprocess.run(
            [sys.executable, "-c", _PROBE, address],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=CHILD_GUARD.environment(),
            timeout=_JOIN_SECONDS,
            check=True,
        )
    except (OSError, OverflowError) as error:
        raise _unreachable(address, str(error)) from error
    except subprocess.TimeoutExpired as error:
        raise _not_joined(address, error.stderr, f"no answer within {_JOIN_SECONDS} seconds") from error
    except subprocess.CalledProcessError as error:
        raise _not_joined(address, error.stderr, last_line(error.stderr.decode(errors="replace"))) from error


def _not_joined(address: str, said: bytes | None, reason: str) -> FarmError:
    if not any(word in (said or b"") for word in (b"InvalidAuthToken", b"AuthenticationError")):
        return _unreachable(address, reason)
    return FarmError(
        f"the Ray cluster at {address} does not accept the token of this command",
        "set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN_PATH to a file with the cluster's token",
    )


def _unreachable(address: str, reason: str) -> FarmError:
    return FarmError(
        f"no Ray cluster could be joined at {address}: {reason}",
        "check --address and RAY_ADDRESS, whether `ray status` works there, and that both sides have the same Ray "
        "and Python; without either, Ray is started here",
    )
