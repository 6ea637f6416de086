"""Other users of the host: what of a Ray that is started here they can read, enter, or use."""

import http.client
import json
import os
import shutil
import stat
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.grpc_call import UNAUTHENTICATED, UNIMPLEMENTED, grpc_status
from support.listening import descendants, listeners
from support.second_user import needs_second_user, run_as_nobody

from vidnst.errors import FarmError
from vidnst.farm.ray.connection import RaySession
from vidnst.farm.ray.private_folder import PrivateFolder, write_secret

ALONE = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
"""With it Ray takes 127.0.0.1 as it is, and does not look for the host's address."""
JOIN = """
import ray
ray.init(address={address!r}, configure_logging=False, log_to_driver=False)
print("ran", ray.get(ray.remote(lambda: 6 * 7).remote()))
"""


@pytest.fixture
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of temporary files that all users share, as /tmp is."""
    folder = tmp_path_factory.mktemp("shared")
    folder.chmod(0o1777)
    return folder


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


SERVE = """
import json, os, sys
from vidnst.farm.ray.connection import RaySession
with RaySession(address="local", cpus=1) as session:
    import ray
    facts = ray._private.worker._global_node.address_info
    print(json.dumps([facts["address"], facts["session_dir"], os.environ["RAY_AUTH_TOKEN_PATH"]]), flush=True)
    sys.stdin.read()
print(json.dumps([os.environ.get("RAY_AUTH_MODE"), os.environ.get("RAY_AUTH_TOKEN")]), flush=True)
"""


class OwnRay:
    """The facts of a Ray that a process has started, and what that process wrote."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdout
        self.process = process
        self.address, session, token = json.loads(process.stdout.readline())
        self.session, self.token = Path(session), Path(token)


@pytest.fixture(scope="module")
def own_ray(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnRay]:
    no_home = tmp_path_factory.mktemp("home") / "file"
    no_home.touch()  # below a file, nobody can write, not even root
    environment = {name: text for name, text in os.environ.items() if not name.startswith("RAY_") and name != "TMPDIR"}
    environment |= {"HOME": str(no_home / "home"), "RAY_AUTH_MODE": "disabled", "RAY_AUTH_TOKEN": "of another cluster"}
    with subprocess.Popen(
        [sys.executable, "-c", SERVE],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        ray = OwnRay(process)
        yield ray
        output, errors = process.communicate(timeout=120)
    assert output == '["disabled", "of another cluster"]\n', "the environment is not as it was"
    assert "Token authentication" not in errors, "Ray's notice is not what a new user should see first"
    assert not ray.token.parent.exists()


@pytest.mark.ray
@needs_second_user
def test_other_user_reads_no_token_and_no_folder(own_ray: OwnRay) -> None:
    for code in (
        f"open({str(own_ray.token)!r}).read()",
        f"import os; os.listdir({str(own_ray.token.parent)!r})",
        f"import os; os.listdir({str(own_ray.session)!r})",
        f"import socket; socket.socket(socket.AF_UNIX).connect({str(own_ray.session / 'sockets/raylet')!r})",
    ):
        done = run_as_nobody(code)
        assert "PermissionError" in done.stderr, (code, done.stderr)


@pytest.mark.ray
@needs_second_user
def test_other_user_submits_no_work(own_ray: OwnRay) -> None:
    code = JOIN.format(address=own_ray.address)
    for guess in ({"RAY_AUTH_MODE": "disabled"}, {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 64}):
        done = run_as_nobody(code, **ALONE, **guess)
        assert done.returncode != 0
        assert "ran" not in done.stdout
        assert "InvalidAuthToken" in done.stderr or "AuthenticationError" in done.stderr, done.stderr
    done = run_as_nobody(code, **ALONE, RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=own_ray.token.read_text())
    assert "InvalidAuthToken" not in done.stderr, "the token itself is not what decides"


@pytest.mark.ray
@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="looks for sockets in /proc")
def test_nothing_of_ray_listens_for_other_hosts(own_ray: OwnRay) -> None:
    found = listeners(descendants(own_ray.process.pid))
    assert len(found) > 5
    assert {one.address for one in found} == {"127.0.0.1"}, found


@pytest.mark.ray
@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="looks for sockets in /proc")
def test_agents_take_no_jobs_without_token(own_ray: OwnRay) -> None:
    answers = {
        status_of(one.port, path)
        for one in listeners(descendants(own_ray.process.pid))
        for path in ("/api/job_agent/jobs/", "/get_or_create_runtime_env")
    }
    assert 401 in answers
    assert answers <= {None, 401, 405}, answers


@pytest.mark.ray
@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="looks for sockets in /proc")
@pytest.mark.parametrize(
    "method",
    [
        "/ray.rpc.CoreWorkerService/PushTask",
        "/ray.rpc.NodeManagerService/GetNodeStats",
        "/ray.rpc.ObjectManagerService/Pull",
        "/ray.rpc.NodeInfoGcsService/GetAllNodeInfo",
        "/ray.rpc.ReporterService/GetTraceback",
    ],
)
def test_every_service_asks_for_the_token(method: str, own_ray: OwnRay) -> None:
    ports = [one.port for one in listeners(descendants(own_ray.process.pid))]
    answers = {port: grpc_status(port, method) for port in ports}
    assert UNAUTHENTICATED in answers.values(), "no process has this service"
    assert set(answers.values()) <= {UNAUTHENTICATED, UNIMPLEMENTED, None}, answers
    token = own_ray.token.read_text()
    served = [port for port, status in answers.items() if status == UNAUTHENTICATED]
    assert all(grpc_status(port, method, token) != UNAUTHENTICATED for port in served)


def status_of(port: int, path: str) -> int | None:
    """The answer to a job that is posted without a token; None where no web server listens."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data=b'{"entrypoint": "id"}')
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except (OSError, http.client.HTTPException):
        return None


def test_folder_and_token_are_its_users_alone(base: Path) -> None:
    os.umask(before := os.umask(0))
    os.umask(0)
    try:
        with PrivateFolder(base) as folder:
            write_secret(folder.path / "token", "secret")
            assert mode_of(folder.path) == 0o700
            assert mode_of(folder.path / "token") == 0o600
            assert len(folder.path.name) <= 8
    finally:
        os.umask(before)
    assert list(base.iterdir()) == []


@pytest.mark.parametrize("planted", ["file", "link", "dangling"])
def test_token_is_written_over_nothing_that_was_planted(planted: str, tmp_path: Path) -> None:
    target = tmp_path / "target"
    if planted != "dangling":
        target.write_text("kept")
    token = target if planted == "file" else tmp_path / "token"
    if planted != "file":
        token.symlink_to(target)
    with pytest.raises(FarmError, match="File exists"):
        write_secret(token, "secret")
    assert planted == "dangling" or target.read_text() == "kept"
    assert planted != "dangling" or not target.exists()


def test_folder_where_all_may_rename_is_refused(tmp_path: Path) -> None:
    base = tmp_path / "open"
    base.mkdir()
    base.chmod(0o777)
    with pytest.raises(FarmError, match=r"every user may replace what is in it.*RAY_TMPDIR"):
        PrivateFolder(base)
    assert list(base.iterdir()) == []


def test_file_system_without_rights_is_refused(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mkdir = Path.mkdir

    def make_open(path: Path, mode: int = 0o777, parents: bool = False, exist_ok: bool = False) -> None:
        mkdir(path, mode, parents, exist_ok)
        path.chmod(0o777 if path.parent == base else 0o1777)

    monkeypatch.setattr(Path, "mkdir", make_open)
    with pytest.raises(FarmError, match="does not keep other users out"):
        PrivateFolder(base)


def test_folders_of_killed_processes_are_removed(base: Path) -> None:
    code = "import os; from pathlib import Path; from vidnst.farm.ray.private_folder import PrivateFolder; {}"
    make = f"folder = PrivateFolder(Path({str(base)!r})); (folder.path / 'r').mkdir(); os._exit(0)"
    subprocess.run([sys.executable, "-c", code.format(make)], check=True)
    (left,) = base.iterdir()
    (kept := base / "v-kept").mkdir(mode=0o700)  # it has no lock
    outside = base / "outside"
    outside.mkdir(mode=0o700)
    (outside / "vidnst.lock").touch()
    (base / "v-link").symlink_to(outside)
    with PrivateFolder(base) as used, PrivateFolder(base) as other:
        assert used.path.is_dir()
        assert other.path != used.path
        assert not left.exists()
        assert kept.is_dir()
        assert (outside / "vidnst.lock").is_file()


def test_folder_is_removed_while_something_writes_into_it(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rmtree, late = shutil.rmtree, iter(["first", "second"])

    def written_to(path: Path, **options: bool) -> None:
        rmtree(path, **options)
        if path.name == "r" and (name := next(late, None)):
            path.mkdir()
            (path / name).touch()

    folder = PrivateFolder(base)
    (folder.path / "r").mkdir()
    monkeypatch.setattr(shutil, "rmtree", written_to)
    folder.close()
    assert list(base.iterdir()) == []


def test_folder_and_environment_are_restored_after_errors(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    def fails(**_: object) -> None:
        assert os.environ["RAY_AUTH_MODE"] == "token"
        assert "RAY_AUTH_TOKEN" not in os.environ
        raise RuntimeError("no room")

    monkeypatch.setenv("RAY_TMPDIR", str(base))
    monkeypatch.setattr("vidnst.farm.ray.folders._LONGEST_SOCKET_BYTES", 1000)
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    monkeypatch.setattr(ray, "init", fails)
    monkeypatch.setattr("vidnst.farm.ray.private_session._reload_token", lambda: None)
    monkeypatch.setenv("RAY_AUTH_TOKEN", "of a cluster")
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    with pytest.raises(FarmError, match="no room"):
        RaySession(address="local", cpus=1)
    assert list(base.iterdir()) == []
    assert os.environ["RAY_AUTH_TOKEN"] == "of a cluster"
    assert "RAY_AUTH_MODE" not in os.environ


@pytest.mark.parametrize("late", [False, True])
def test_wrong_token_of_a_cluster_is_named(late: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(command: list[str], **_: object) -> None:
        said = b"Unauthenticated: RPC error: InvalidAuthToken: Authentication token is missing\nConnectionError: no"
        if late:
            raise subprocess.TimeoutExpired(command, 15, stderr=said)
        raise subprocess.CalledProcessError(1, command, stderr=said)

    monkeypatch.setattr("ray.is_initialized", lambda: False)
    monkeypatch.setattr("vidnst.farm.ray.private_session._reload_token", lambda: None)
    monkeypatch.setattr(subprocess, "run", fails)
    with pytest.raises(FarmError, match=r"does not accept the token of this command; set RAY_AUTH_MODE=token"):
        RaySession(address="auto")


def test_cluster_of_the_user_keeps_its_own_mode(monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    seen: list[tuple[str | None, object]] = []
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", lambda **given: seen.append((os.environ.get("RAY_AUTH_MODE"), given)))
    monkeypatch.setattr("vidnst.farm.ray.connection._probe", lambda address: None)
    monkeypatch.setattr("vidnst.farm.ray.private_session._reload_token", lambda: None)
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    RaySession(address="198.51.100.7:6379")
    ((mode, given),) = seen
    assert mode == "disabled"
    assert isinstance(given, dict)
    assert given["address"] == "198.51.100.7:6379"
    assert not any(name.startswith("_") for name in given)
