"""Show what listens while a render runs with Ray, and who gets an answer there.

    python tests/bench/listening.py

Renders a few small frames on two actors, and prints a Markdown table of the TCP sockets of that process and of all that
it has started, with the answer to a call without a token: to a gRPC service of Ray, or to a job posted by HTTP. The
table is empty ten seconds after the end, or the script fails. PYTHONPATH may name another checkout to look at.
"""

import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from support.grpc_call import UNAUTHENTICATED, UNIMPLEMENTED, grpc_status
from support.listening import Listener, descendants, listeners
from support.media import numbered_pictures, write_pictures

_SERVICES = (
    "NodeInfoGcsService/GetAllNodeInfo",
    "NodeManagerService/GetNodeStats",
    "ObjectManagerService/Pull",
    "CoreWorkerService/PushTask",
    "ReporterService/GetTraceback",
)
_FIXED_PORTS = {44217, 44227, 52365}
_ACTORS = 2


def main() -> int:
    """Render, and print the table."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "in")
        write_pictures(source, numbered_pictures(40, (96, 64)))
        render = [sys.executable, "-m", "vidnst", "render", str(source), "--style", str(source / "0000.png")]
        options = ["--backbone", "slim", "--size", "64", "--workers", str(_ACTORS), "--executor", "ray"]
        command = [*render, *options, "--iterations", "200", "-o", str(Path(folder, "out.mkv"))]
        with subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            found: list[Listener] = []
            while process.poll() is None and sum("Actor" in one.process for one in found) < _ACTORS:
                time.sleep(0.5)
                found = listeners(descendants(process.pid))
            family = descendants(process.pid)
            print_table(found)
            process.terminate()
        time.sleep(10)
        left = listeners(family)
    sys.stdout.write(f"\nTen seconds after it was stopped: {len(left)} sockets.\n")
    return 1 if left or not found else 0


def print_table(found: list[Listener]) -> None:
    """Print a row for each socket."""
    sys.stdout.write("| process | listens on | without a token |\n|---|---|---|\n")
    for one in sorted(found, key=lambda one: (one.process, one.port not in _FIXED_PORTS, one.port)):
        port = one.port if one.port in _FIXED_PORTS else "random"
        sys.stdout.write(f"| `{one.process}` | {one.address}, {port} | {answer(one)} |\n")


def answer(one: Listener) -> str:
    """What a caller gets who has no token."""
    calls = {grpc_status(one.port, f"/ray.rpc.{service}") for service in _SERVICES} - {None, UNIMPLEMENTED}
    if calls:
        return "refused" if calls == {UNAUTHENTICATED} else "answered (gRPC)"
    if one.address not in ("127.0.0.1", "0.0.0.0", "::"):
        return "not asked: it is no loopback address"
    request = urllib.request.Request(f"http://127.0.0.1:{one.port}/api/job_agent/jobs/", data=b'{"entrypoint": "id"}')
    with suppress(OSError, HTTPException):
        try:
            urllib.request.urlopen(request, timeout=10).close()
        except urllib.error.HTTPError as error:
            return {401: "refused", 405: "numbers (Prometheus)"}.get(error.code, f"answered (HTTP {error.code})")
        return "answered (HTTP)"
    return "no answer"


if __name__ == "__main__":
    sys.exit(main())
