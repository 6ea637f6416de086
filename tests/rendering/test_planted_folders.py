"""Every file of run and batch folders replaced by something else: commands touch nothing outside, and say it in words.

A few pairs of a place and a plant are tried, chosen by a seed; all of them with VIDNST_ALL_PLANTS=1.
"""

import json
import os
import random
import shutil
import signal
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from support.batches import write_jobs
from support.command_line import Vidnst
from support.media import write_burst, write_style
from support.planted import PLANTS, SECRET, Canary, plant
from support.renders import quick_config, stop_after, write_settings

from vidnst.errors import CancelledError, VidnstError
from vidnst.rendering.batch.run import run_batch
from vidnst.rendering.pipeline import run
from vidnst.report.server.server import Server
from vidnst.runs.request import Request

SETTINGS = quick_config(
    optimize={"iterations": 1},
    schedule={"passes": 1},
    output={"keep_frames": True, "measure": True, "report": True},
)
ALWAYS: dict[str, list[tuple[str, str]]] = {
    "finished": [("lock", "hard link"), ("state", "link")],
    "stopped": [("lock", "link to a file"), ("events.jsonl", "link to a file")],
    "batch": [("control", "link"), ("lock", "link to a file"), ("events.jsonl", "hard link")],
    "job": [("events.jsonl", "link to a file")],
}
"""Pairs that are always tried, since they are the quickest way out of a folder."""
PAIRS = 4
"""Further pairs for each folder that are tried without VIDNST_ALL_PLANTS."""
ALL = bool(os.environ.get("VIDNST_ALL_PLANTS"))
STATUSES = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9}
MOST_SECONDS = 300
"""After this long a command counts as hanging."""
FOLDERS = {
    "finished": "finished.mkv.vidnst",
    "stopped": "stopped.mkv.vidnst",
    "batch": "jobs.batch",
    "job": "out/clip0-style0.vidnst",
}


class World:
    """A finished run, one that was stopped, and a batch, at a path where they are put back for every case."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "world"
        self.canary = Canary(folder / "elsewhere")
        self._copy = folder / "copy"
        self.folder.mkdir()
        burst = write_burst(self.folder / "burst", 2, size=(48, 32), cells=(6, 8))
        style = write_style(self.folder / "style.png")
        self.config = write_settings(self.folder / "config.json", SETTINGS.model_dump(mode="json"))
        for name in ("finished", "stopped"):
            request = Request(str(burst), (str(style),), self.folder / f"{name}.mkv", SETTINGS)
            with suppress(CancelledError):
                run(request, **(stop_after(1) if name == "stopped" else {}))
        self.jobs = write_jobs(self.folder, clips=1, styles=1, frames=1)
        run_batch(self.jobs)
        (self.folder / "jobs.batch" / "control" / f"{1:020d}-1.json").write_text('{"action": "pause", "name": "x"}')
        shutil.copytree(self.folder, self._copy)

    def put_back(self) -> None:
        """Make everything as it was, but for the output of the job, so that the batch works in its run folder."""
        shutil.rmtree(self.folder)
        shutil.copytree(self._copy, self.folder)
        shutil.rmtree(self.folder / "out" / "clip0-style0")

    def places(self, name: str) -> list[Path]:
        """The folders and files in one of `FOLDERS`, and that folder itself."""
        root = self.folder / FOLDERS[name]
        return [root, *sorted(root.rglob("*"))]

    def commands(self, name: str) -> list[tuple[object, ...]]:
        """The command lines that concern one of `FOLDERS`."""
        if name in ("batch", "job"):
            outputs = [("status", self.folder / FOLDERS["job"])] if name == "job" else []
            batch = [("batch", self.jobs), ("batch", self.jobs, "--cancel", "all")]
            return [*outputs, ("status", self.jobs), ("plan", self.jobs, "--no-time"), *batch]
        output = self.folder / f"{name}.mkv"
        look = ("-s", self.folder / "style.png", "--config", self.config, "-o", output)
        render = ("render", self.folder / "burst", *look, "--overwrite")
        return [
            *((verb, self.folder / FOLDERS[name]) for verb in ("status", "report")),
            *((verb, self.folder / FOLDERS[name], "--overwrite") for verb in ("resume", "retry")),
            ("plan", self.folder / "burst", *look, "--no-time"),
            ("status", self.folder),
            render,
        ]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("planted"))


@contextmanager
def ending() -> Iterator[None]:
    """Fail where something waits for ever, as for the other end of a pipe."""

    def fail(*_: object) -> None:
        raise AssertionError("it hangs")

    before = signal.signal(signal.SIGALRM, fail)
    signal.alarm(MOST_SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def serve(folder: Path) -> str:
    """Ask a server for everything that it shows of a folder, and return the answers."""
    try:
        server = Server([folder], host="127.0.0.1", port=0)
    except VidnstError as error:
        return str(error)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        answers = [ask(f"{server.url}status.json")]
        for shown in json.loads(answers[0])["runs"]:
            for what in ("report.html", "measure.json", "frame/0", "source/0", "full/0"):
                answers.append(ask(f"{server.url}run/{shown['id']}/{what}"))
        return "\n".join(answers)
    finally:
        server.shutdown()
        server.server_close()


def ask(url: str) -> str:
    """Return what a server answers, also where it says that there is nothing."""
    try:
        with urllib.request.urlopen(url, timeout=60) as reply:
            return str(reply.read().decode("latin-1"))
    except urllib.error.HTTPError as error:
        return f"{error.code} {error.read().decode('latin-1')}"


def leaks(folder: Path, canary: Canary) -> list[Path]:
    """Files into which something of the canary has come; links, and the canary under a second name, do not count."""
    own = {path.stat().st_ino for path in canary.folder.iterdir()}
    files = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    small = [path for path in files if path.stat().st_ino not in own and path.stat().st_size < 1 << 24]
    return [path for path in small if SECRET.encode() in path.read_bytes()]


def pairs(world: World, name: str) -> list[tuple[Path, str]]:
    every = [(place, kind) for place in world.places(name) for kind in PLANTS]
    root = world.folder / FOLDERS[name]
    chosen = [(root / place, kind) for place, kind in ALWAYS[name]]
    return every if ALL else [*chosen, *random.Random(18).sample(every, PAIRS)]


@pytest.mark.parametrize("name", FOLDERS)
def test_planted_files_lead_nowhere(name: str, world: World, vidnst: Vidnst) -> None:
    wrong = []

    def judge(case: str, text: str, status: int = 0) -> None:
        if status not in STATUSES or "Traceback" in text or SECRET in text:
            wrong.append(f"{case}: status {status}, {text[-2000:]}")
        if not world.canary.is_untouched():
            wrong.append(f"{case}: something elsewhere has changed")
        if places := leaks(world.folder, world.canary):
            wrong.append(f"{case}: {places} have what lies elsewhere")

    around = sorted(os.listdir(world.folder.parent))
    for place, kind in pairs(world, name):
        for command in world.commands(name):
            world.put_back()
            plant(kind, place, world.canary)
            case = f"{place.relative_to(world.folder)} is a {kind}: {' '.join(map(str, command))}"
            with ending():
                result = vidnst(*command)
            judge(case, result.out + result.err, result.status)
        world.put_back()
        plant(kind, place, world.canary)
        with ending():
            judge(f"{place.relative_to(world.folder)} is a {kind}: serve", serve(world.folder))
    assert not wrong, "\n".join(wrong)
    assert sorted(os.listdir(world.folder.parent)) == around
