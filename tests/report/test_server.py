"""The page that shows renders: what it shows, and all that it refuses."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from support.browser import page_after_scripts
from support.media import numbered_pictures, read_index, write_pictures
from support.renders import quick_config
from support.report_server import serving

import vidnst
from vidnst.errors import ConfigError, RunError
from vidnst.report.server.access import AccessGuard, open_inside
from vidnst.report.server.server import Server
from vidnst.runs.folder_lock import FolderLock

TOKEN = "long-enough-to-guess"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run that kept its frames."""
    folder = tmp_path_factory.mktemp("runs")
    write_pictures(folder / "in", numbered_pictures(3, (96, 64)))
    config = quick_config(
        optimize={"iterations": 1},
        schedule={"kind": "independent"},
        farm={"workers": 1},
        output={"measure": True, "report": True},
    )
    output = folder / "out<b>.mp4"
    vidnst.render(folder / "in", style=folder / "in" / "0000.png", output=output, config=config)
    with (folder / "out<b>.mp4.vidnst" / "events.jsonl").open("a") as log:
        evil = "<img src=x onerror=\"document.title='owned'\">"
        log.write(json.dumps({"time": 2e9, "kind": "failed", "node": "1.0", "worker": "w", "error": evil}) + "\n")
    return folder


def ask(port: int, path: str, *, method: str = "GET", **headers: str) -> tuple[HTTPResponse, bytes]:
    connection = HTTPConnection("127.0.0.1", port, timeout=20)
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        connection.request(method, path, headers=given)
        answer = connection.getresponse()
        return answer, answer.read()
    finally:
        connection.close()


def key_of(port: int) -> str:
    return str(json.loads(ask(port, "/status.json")[1])["runs"][0]["id"])


def test_it_shows_numbers_pictures_and_the_report(runs: Path) -> None:
    with serving(runs) as port:
        told = json.loads(ask(port, "/status.json")[1])
        (run,) = told["runs"]
        assert (run["name"], run["state"], run["frames_done"], run["last_frame"]) == ("out<b>.mp4", "finished", 3, 2)
        assert run["shown_frame"] == 2
        base = f"/run/{run['id']}"
        for path, start, kind in (
            ("frame/2", b"\xff\xd8", "image/jpeg"),
            ("source/2", b"\xff\xd8", "image/jpeg"),
            ("full/2", b"\x89PNG", "image/png"),
            ("report.html", b"<!doctype html>", "text/html; charset=utf-8"),
            ("measure.json", b"{", "application/json"),
        ):
            answer, data = ask(port, f"{base}/{path}")
            assert answer.status == 200, path
            assert data.startswith(start)
            assert answer.headers["Content-Type"] == kind
        assert "sandbox" in ask(port, f"{base}/report.html")[0].headers["Content-Security-Policy"]
        assert ask(port, f"{base}/frame/77")[0].status == 404


@pytest.mark.parametrize("name", ["out.mp4", "frames_of_it"])
def test_run_without_frames_is_shown_by_its_output(name: str, tmp_path: Path) -> None:
    write_pictures(tmp_path / "in", numbered_pictures(9, (96, 64)))
    config = quick_config(optimize={"iterations": 0}, input={"start": "2"}, output={"keep_frames": False})
    vidnst.render(tmp_path / "in", style=[], output=tmp_path / name, config=config)
    folder = tmp_path / f"{name}.vidnst"
    assert not list(folder.rglob("*.png"))
    with serving(tmp_path) as port:
        (run,) = json.loads(ask(port, "/status.json")[1])["runs"]
        assert (run["state"], run["last_frame"], run["shown_frame"]) == ("finished", None, 5)
        shown = {kind: decoded(ask(port, f"/run/{run['id']}/{kind}/5")[1]) for kind in ("frame", "source")}
        assert {kind: read_index(pixels) for kind, pixels in shown.items()} == {"frame": 5, "source": 5}
        for number in (1, 11, 77):  # outside the range
            assert ask(port, f"/run/{run['id']}/frame/{number}")[0].status == 404
    elsewhere = tmp_path / "elsewhere"
    (tmp_path / name).rename(elsewhere)
    record = folder / "run.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | {"output": str(elsewhere)}))
    for sources, status in ((True, 200), (False, 404)):  # a stranger's record can name any file
        with serving(tmp_path, sources=sources) as port:
            assert ask(port, f"/run/{key_of(port)}/frame/5")[0].status == status
    (tmp_path / "link").symlink_to(elsewhere)
    record.write_text(json.dumps(json.loads(record.read_text()) | {"output": str(tmp_path / "link")}))
    with serving(tmp_path) as port:
        assert json.loads(ask(port, "/status.json")[1])["runs"][0]["shown_frame"] is None
        assert ask(port, f"/run/{key_of(port)}/frame/5")[0].status == 404


def decoded(data: bytes) -> NDArray[np.uint8]:
    """RGB pixels of a JPEG file."""
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert pixels is not None
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), np.uint8)


def test_nothing_else_is_served(runs: Path, tmp_path: Path) -> None:
    run = runs / "out<b>.mp4.vidnst"
    with serving(runs) as port:
        base = f"/run/{key_of(port)}"
        for path in (
            *("/etc/passwd", "/../../etc/passwd", "//etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/run/", "/static"),
            *(f"{base}/run.json", f"{base}/events.jsonl", f"{base}/lock", f"{base}/", f"{base}/frames/00000000.png"),
            *(f"{base}/full/../../run.json", f"{base}/full/..%2f..%2frun.json", f"{base}/full/-1", f"{base}/full/1%00"),
            *(f"{base}/full/٣", "/run/0123456789abcdef/report.html", f"{base}/report.html/", f"{base}/REPORT.HTML"),
        ):
            with socket.create_connection(("127.0.0.1", port), timeout=20) as raw:  # a client would tidy some of these
                raw.sendall(f"GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
                said = b"".join(iter(lambda: raw.recv(65536), b""))
            assert b" 404 " in said.splitlines()[0], path
            assert b"root:" not in said
        secret = tmp_path / "secret"
        secret.write_bytes(b"root:x")
        try:
            for name in ("report.html", "frames/00000000.png"):
                (run / name).rename(run / f"{name}.kept")
                (run / name).symlink_to(secret)
            assert ask(port, f"{base}/report.html")[0].status == 404
            assert ask(port, f"{base}/full/0")[0].status == 404
            assert ask(port, f"{base}/frame/0")[0].status == 404
        finally:
            for name in ("report.html", "frames/00000000.png"):
                (run / f"{name}.kept").replace(run / name)


def test_links_are_followed_nowhere_on_the_way(tmp_path: Path) -> None:
    (tmp_path / "run" / "frames").mkdir(parents=True)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.png").write_bytes(b"secret")
    (tmp_path / "run" / "finished").symlink_to(tmp_path / "out")
    os.mkfifo(tmp_path / "run" / "frames" / "fifo.png")
    (tmp_path / "run" / "frames" / "b.png").write_bytes(b"mine")
    with open_inside(tmp_path / "run", "frames", "b.png") as file:
        assert file.read() == b"mine"
    for parts in (("finished", "a.png"), ("frames", "fifo.png"), ("frames",), ("frames", "none.png")):
        with pytest.raises(OSError):  # noqa: PT011 - the system's own
            open_inside(tmp_path / "run", *parts)


def test_only_reading_is_allowed_and_only_by_this_name(runs: Path) -> None:
    with serving(runs) as port:
        for method in ("POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"):
            answer, _ = ask(port, "/status.json", method=method)
            assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD")
        answer, data = ask(port, "/status.json", method="HEAD")
        assert (answer.status, data) == (200, b"")
        assert int(answer.headers["Content-Length"]) > 2
        for host in ("evil.example", "evil.example:80", "127.0.0.1.evil.example", "0.0.0.0", "192.168.0.7", "", "[::1"):
            assert ask(port, "/status.json", Host=host)[0].status == 421, host
        for host in ("localhost", f"localhost:{port}", "127.0.0.1:1", "[::1]:80"):
            assert ask(port, "/status.json", Host=host)[0].status == 200, host
        for site in ("cross-site", "same-site"):
            assert ask(port, f"/run/{key_of(port)}/frame/0", Sec_Fetch_Site=site)[0].status == 403
        assert ask(port, "/status.json", Sec_Fetch_Site="same-origin")[0].status == 200


def test_every_answer_says_what_a_browser_may_do_with_it(runs: Path) -> None:
    with serving(runs) as port:
        page, text = ask(port, "/")
        policy = page.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert b"http" not in re.sub(rb'http-equiv="[^"]*"', b"", text)
        for path in ("/", "/status.json", "/nothing", f"/run/{key_of(port)}/frame/0"):
            headers = ask(port, path)[0].headers
            assert headers["X-Content-Type-Options"] == "nosniff"
            assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
            assert headers["Referrer-Policy"] == "no-referrer"
            assert "Access-Control-Allow-Origin" not in headers
            assert "Python" not in headers["Server"]


def test_others_are_let_in_with_a_token_only(runs: Path) -> None:
    for host in ("0.0.0.0", "::", "192.0.2.1", "example.org", ""):
        with pytest.raises(ConfigError, match="token"):
            Server([runs], host=host, port=0)
    with pytest.raises(ConfigError, match="fewer than"):
        Server([runs], host="0.0.0.0", port=0, token="short")
    with serving(runs, token=TOKEN) as port:
        assert ask(port, "/status.json")[0].status == 401
        assert ask(port, "/")[0].status == 401
        assert ask(port, "/?token=wrong-wrong-wrong")[0].status == 401
        assert ask(port, "/status.json", Authorization="Bearer ")[0].status == 401
        assert ask(port, "/status.json", Cookie=f"vidnst_{port}=")[0].status == 401
        assert ask(port, "/status.json", Cookie=f"vidnst_{port}={TOKEN}")[0].status == 401
        assert ask(port, "/status.json", Authorization=f"Bearer {TOKEN}")[0].status == 200
        answer, _ = ask(port, f"/?token={TOKEN}")
        cookie = answer.headers["Set-Cookie"]
        assert answer.status == 200
        assert TOKEN not in cookie
        assert {"HttpOnly", "SameSite=Strict"} <= {part.strip() for part in cookie.split(";")}
        assert ask(port, "/status.json", Cookie=cookie.partition(";")[0])[0].status == 200


def test_the_command_refuses_to_let_others_look_without_a_token(runs: Path) -> None:
    command = [sys.executable, "-m", "vidnst", "serve", str(runs), "--host", "0.0.0.0", "--port", "0"]
    clean = {key: value for key, value in os.environ.items() if key != "VIDNST_TOKEN"}
    said = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, env=clean)
    assert said.returncode == 2
    assert "--token" in said.stderr


def test_serve_command_prints_its_address_and_stops(runs: Path) -> None:
    command = [sys.executable, "-m", "vidnst", "serve", str(runs), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        port = int(address.rstrip("/").rpartition(":")[2])
        assert json.loads(ask(port, "/status.json")[1])["runs"]
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0


def test_public_server_accepts_only_its_own_host_names() -> None:
    guard = AccessGuard("0.0.0.0", 8765, TOKEN)
    assert guard.allows_host("192.168.1.9:8765")
    assert guard.allows_host(socket.gethostname())
    assert guard.allows_host("localhost:8765")
    assert not guard.allows_host("evil.example:8765")
    assert not guard.allows_host(None)


def test_a_source_is_shown_only_where_that_is_wished(runs: Path) -> None:
    with serving(runs, sources=False) as port:
        assert ask(port, f"/run/{key_of(port)}/source/0")[0].status == 404
        assert ask(port, f"/run/{key_of(port)}/frame/0")[0].status == 200


def test_idle_connections_do_not_block_the_server_for_good(runs: Path) -> None:
    with serving(runs) as port:
        silent = [socket.create_connection(("127.0.0.1", port)) for _ in range(60)]
        for connection in silent:
            connection.close()
        answers = []
        for _ in range(50):
            try:
                answers.append(ask(port, "/status.json")[0].status)
                break
            except (ConnectionError, OSError):
                threading.Event().wait(0.1)
        assert answers == [200]


def test_what_is_not_there_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="there is no"):
        Server([tmp_path / "nowhere"], host="127.0.0.1", port=0)
    with serving(tmp_path) as port:
        assert json.loads(ask(port, "/status.json")[1])["runs"] == []
        with pytest.raises(ConfigError, match="cannot be listened on"):
            Server([tmp_path], host="127.0.0.1", port=port).server_close()


@pytest.mark.slow
def test_a_browser_fills_the_page_and_runs_nothing_of_strangers(runs: Path, tmp_path: Path) -> None:
    lock = FolderLock(runs / "out<b>.mp4.vidnst" / "lock")
    try:
        with serving(runs, token=TOKEN) as port:
            shown = page_after_scripts(
                f"http://127.0.0.1:{port}/?token={TOKEN}", tmp_path / "profile", milliseconds=6000
            )
    finally:
        lock.release()
    assert "<title>(1) Renders</title>" in shown
    assert ">out&lt;b&gt;.mp4</span>" in shown
    assert f"process {os.getpid()}" in shown
    assert "3 of 3" in shown
    assert re.search(r'<img alt="rendered frame 2 of out&lt;b&gt;.mp4" src="run/\w+/frame/2">', shown)
    assert "&lt;img src=x onerror" in shown
    assert "owned" not in re.sub(r"document.title='owned'", "", shown)
