"""Finished outputs in the page: ranges of bytes, and nothing but the output that a run's own record names."""

import json
import os
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path

import pytest
from support.media import numbered_pictures, write_pictures
from support.renders import quick_config
from support.report_server import serving

import vidnst
from vidnst.report.server import played_output as played
from vidnst.report.server.played_output import parse_range

OUTPUT = "out.mp4"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a finished run."""
    folder = tmp_path_factory.mktemp("runs")
    write_pictures(folder / "in", numbered_pictures(3, (96, 64)))
    config = quick_config(optimize={"iterations": 0})
    vidnst.render(folder / "in", style=[], output=folder / OUTPUT, config=config)
    return folder


def ask(port: int, path: str, *, method: str = "GET", **headers: str) -> tuple[HTTPResponse, bytes]:
    connection = HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        return answer, answer.read()
    finally:
        connection.close()


def address(port: int) -> str:
    (run,) = json.loads(ask(port, "/status.json")[1])["runs"]
    return f"/run/{run['id']}/output"


def test_finished_output_is_sent_in_ranges(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = (made / OUTPUT).read_bytes()
    size = len(whole)
    with serving(made) as port:
        assert json.loads(ask(port, "/status.json")[1])["runs"][0]["plays"] == "video"
        path = address(port)
        answer, data = ask(port, path)
        assert (answer.status, data) == (200, whole)
        assert answer.headers["Content-Type"] == "video/mp4"
        assert answer.headers["Accept-Ranges"] == "bytes"
        for asked, begin, end in (("bytes=0-9", 0, 10), ("bytes=7-", 7, size), ("bytes=-5", size - 5, size)):
            answer, data = ask(port, path, Range=asked)
            assert (answer.status, data) == (206, whole[begin:end])
            assert answer.headers["Content-Range"] == f"bytes {begin}-{end - 1}/{size}"
        answer, data = ask(port, path, Range=f"bytes={size}-")
        assert (answer.status, answer.headers["Content-Range"]) == (416, f"bytes */{size}")
        for ignored in ("bytes=9-2", "bytes=1-2,4-5", "lines=1-2", "bytes=-", "bytes=a-b"):
            assert ask(port, path, Range=ignored)[0].status == 200
        assert ask(port, path, Range="bytes=0-9", If_Range="Sun, 29 Nov 2026 10:00:00 GMT")[0].status == 200
        answer, data = ask(port, path, method="HEAD", Range="bytes=0-9")
        assert (answer.status, answer.headers["Content-Length"], data) == (206, "10", b"")
        assert ask(port, path, Sec_Fetch_Site="cross-site")[0].status == 403
        monkeypatch.setattr(played, "_LONGEST_PIECE", 100)  # a player asks again for the rest
        answer, data = ask(port, path, Range="bytes=5-")
        assert (answer.status, data) == (206, whole[5:105])
        assert "media-src 'self'" in ask(port, "/")[0].headers["Content-Security-Policy"]


def test_ranges_stay_inside_of_the_file() -> None:
    assert parse_range(None, 10) is None
    assert parse_range("bytes=2-900", 10) == (2, 10)
    assert parse_range("bytes=-900", 10) == (0, 10)
    for outside in ("bytes=10-", "bytes=99-100", "bytes=-0"):
        with pytest.raises(ValueError, match="outside"):
            parse_range(outside, 10)
    with pytest.raises(ValueError, match="outside"):
        parse_range("bytes=0-", 0)


def test_only_the_run_s_own_output_is_sent(made: Path, tmp_path: Path) -> None:
    record, output = made / f"{OUTPUT}.vidnst" / "run.json", made / OUTPUT
    kept = record.read_text()
    secret = tmp_path / "secret.mp4"
    secret.write_bytes(b"secret")
    (made / "other.mp4").write_bytes(b"other")
    try:
        for named in (secret, made / "other.mp4", made / "in" / ".." / "other.mp4", Path("/etc/passwd")):
            record.write_text(json.dumps(json.loads(kept) | {"output": str(named)}))
            with serving(made) as port:
                assert json.loads(ask(port, "/status.json")[1])["runs"][0]["plays"] is None
                assert ask(port, address(port))[0].status == 404, named
        record.write_text(kept)
        output.rename(made / "kept")
        with serving(made) as port:
            assert ask(port, address(port))[0].status == 404
            output.symlink_to(secret)
            assert ask(port, address(port))[0].status == 404
            output.unlink()
            os.link(secret, output)
            assert ask(port, address(port))[0].status == 404
            output.unlink()
            os.mkfifo(output)
            assert ask(port, address(port))[0].status == 404
            output.unlink()
            (made / "kept").rename(output)
            for tail in ("/../../secret", "/x", "?file=/etc/passwd", "%00"):
                status = ask(port, address(port) + tail)[0].status
                assert status == (200 if tail.startswith("?") else 404)
    finally:
        record.write_text(kept)


def test_unfinished_output_is_not_played(made: Path) -> None:
    log = made / f"{OUTPUT}.vidnst" / "events.jsonl"
    kept = log.read_text()
    try:
        log.write_text(kept + json.dumps({"time": 2e9, "kind": "session", "process": 1, "host": "h"}) + "\n")
        with serving(made) as port:
            run = json.loads(ask(port, "/status.json")[1])["runs"][0]
            assert (run["state"], run["plays"]) == ("stopped", None)
            assert ask(port, address(port))[0].status == 404
    finally:
        log.write_text(kept)
