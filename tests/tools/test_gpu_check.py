"""The check of GPUs: proved on a CPU by a dry run, and by children that fail, hang and die."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from bench.gpu_check.check import Check, Options
from bench.gpu_check.child import run_parts
from bench.gpu_check.findings import FAIL, LEFT_OUT, LOOK, NEEDS_CUDA, OK, Findings, Row, file_stem
from bench.gpu_check.parts import PARTS, choose_parts
from bench.gpu_check.supervisor import Supervisor

CHECK = Path(__file__).resolve().parents[1] / "bench" / "gpu_check"
FAR = time.time() + 1e6


def run_check(*words: str | Path, seconds: float = 550.0) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(CHECK), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=seconds, env=environment, check=False)


def results(folder: Path, name: str = "dry-run") -> dict[str, Any]:
    values: dict[str, Any] = json.loads((folder / f"{name}.json").read_text("utf-8"))
    return values


def verdicts(folder: Path, part: str) -> set[str]:
    return {verdict for name, _, _, verdict in results(folder)["rows"] if name == part}


@pytest.mark.slow
def test_dry_run_proves_every_part(tmp_path: Path) -> None:
    parts = [part.name for part in PARTS if part.name != "ray"]  # which has a test of its own
    done = run_check("--dry", "--out", tmp_path, "--parts", ",".join(parts))
    log = (tmp_path / "gpu_check.log").read_text("utf-8", errors="replace")[-4000:]
    assert done.returncode == 0, done.stdout + log
    found = results(tmp_path)
    assert found["passed"]
    assert found["machine"]["dry"]
    assert list(found["seconds"]) == parts
    table = (tmp_path / "dry-run.md").read_text("utf-8")
    for part in parts:
        assert f"\n| {part} |" in table
        assert verdicts(tmp_path, part) & {OK, NEEDS_CUDA, ""}, part
        assert not verdicts(tmp_path, part) & {FAIL, LEFT_OUT}, part


@pytest.mark.ray
@pytest.mark.slow
def test_dry_run_replaces_an_actor(tmp_path: Path) -> None:
    done = run_check("--dry", "--out", tmp_path, "--parts", "ray")
    assert done.returncode == 0, done.stdout
    said = {what: value for _, what, value, _ in results(tmp_path)["rows"]}
    assert said["one actor"].startswith("inline's bytes")
    assert "device-side assert" in said["an actor that breaks its GPU"]
    assert said["its replacement"] == "back True; it answers ('1.0', 8.0)"


@pytest.mark.slow
def test_failing_part_is_a_fail_and_stops_no_other(tmp_path: Path) -> None:
    done = run_check("--dry", "--out", tmp_path, "--parts", "losses,uploads", "--weights", tmp_path / "missing.pth")
    assert done.returncode == 1
    assert verdicts(tmp_path, "losses") == {FAIL}
    assert OK in verdicts(tmp_path, "uploads")
    assert FAIL not in verdicts(tmp_path, "uploads")
    assert not results(tmp_path)["passed"]
    assert "missing.pth" in done.stdout


def test_machine_without_a_gpu_fails(tmp_path: Path) -> None:
    done = run_check("--out", tmp_path, "--parts", "card,losses")
    assert done.returncode == 1
    assert "torch sees no GPU" in done.stdout
    assert results(tmp_path, "no-gpu")["rows"][0][3] == FAIL


def test_unknown_part_is_refused(tmp_path: Path) -> None:
    done = run_check("--dry", "--out", tmp_path / "out", "--parts", "card,memroy")
    assert done.returncode == 2
    assert "no part is called memroy" in done.stderr
    assert not (tmp_path / "out").exists()


def test_names_of_parts_are_unique_and_load() -> None:
    names = [part.name for part in PARTS]
    assert len(set(names)) == len(names)
    assert all(callable(part.load()) for part in PARTS)
    assert [part.name for part in choose_parts(["speed", "card"])] == ["speed", "card"]


CHILD = """
import json, sys, time
for name, ending in zip(sys.argv[1::2], sys.argv[2::2]):
    print(json.dumps({"begin": name}), flush=True)
    if ending == "hang":
        time.sleep(600)
    if ending == "die":
        sys.exit(7)
    print(json.dumps({"row": [name, "it", "works", "OK"]}), flush=True)
    print(json.dumps({"facts": [name, {"figure": 3}]}), flush=True)
    print(json.dumps({"end": name, "seconds": 0.1}), flush=True)
"""


def supervise(
    endings: Mapping[str, str], folder: Path, *, until: float = FAR, seconds: float = 60.0
) -> tuple[Findings, list[list[str]]]:
    """Run fake parts, each of which ends in some way; also returns the parts that each child was given."""
    started: list[list[str]] = []

    def command(parts: Sequence[str], facts: Mapping[str, Any]) -> Sequence[str]:
        started.append(list(parts))
        return [sys.executable, "-c", CHILD, *(word for part in parts for word in (part, endings[part]))]

    budgets = {name: 1.0 if ending == "hang" else seconds for name, ending in endings.items()}
    supervisor = Supervisor(command, budgets, until=until, log=folder / "log", start_seconds=60, show=lambda _: None)
    return supervisor.run(lambda _: None), started


@pytest.mark.parametrize(("ending", "why"), [("hang", "not done after"), ("die", "ended with status 7")])
def test_part_that_ends_its_child_stops_no_other(ending: str, why: str, tmp_path: Path) -> None:
    found, started = supervise({"a": "well", "b": ending, "c": "well"}, tmp_path)
    assert started == [["a", "b", "c"], ["c"]]
    assert [(row.part, row.verdict) for row in found.rows] == [("a", OK), ("b", FAIL), ("c", OK)]
    assert why in found.rows[1].value
    assert found.facts == {"a": {"figure": 3}, "c": {"figure": 3}}
    assert not found.passed


def test_parts_without_time_are_left_out(tmp_path: Path) -> None:
    found, started = supervise({"a": "well", "b": "well"}, tmp_path, until=time.time() - 1)
    assert not started
    assert [row.verdict for row in found.rows] == [LEFT_OUT, LEFT_OUT]
    assert not found.passed


class FakePart:
    """A part that does something."""

    def __init__(self, name: str, run: Callable[[Check], None]) -> None:
        self.name = name
        self._run = run

    def load(self) -> Callable[[Check], None]:
        return self._run


def run_fakes(tmp_path: Path, *runs: Callable[[Check], None], until: float = FAR) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = []
    parts: list[Any] = [FakePart(f"part{number}", run) for number, run in enumerate(runs)]
    run_parts(Options(True, tmp_path), parts, messages.append, until=until, facts={})
    return messages


def works(check: Check) -> None:
    check.say("it", "works", OK)


def test_child_goes_on_after_an_error(tmp_path: Path) -> None:
    def fails(check: Check) -> None:
        raise ValueError("no such thing\nand more")

    messages = run_fakes(tmp_path, fails, works)
    rows = [message["row"] for message in messages if "row" in message]
    assert [row[3] for row in rows] == [FAIL, OK]
    assert rows[0][2].startswith("ValueError: no such thing (test_gpu_check.py:")
    assert [message["end"] for message in messages if "end" in message] == ["part0", "part1"]


def test_child_ends_when_its_gpu_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(check: Check) -> None:
        raise RuntimeError("CUDA error: device-side assert triggered")

    monkeypatch.setattr(Check, "tidy", lost)
    messages = run_fakes(tmp_path, works, works)
    assert [message["end"] for message in messages if "end" in message] == ["part0"]
    assert [message["row"][3] for message in messages if "row" in message] == [OK, FAIL]


def test_child_leaves_out_what_has_no_time(tmp_path: Path) -> None:
    messages = run_fakes(tmp_path, works, until=time.time())
    assert [message["row"][3] for message in messages if "row" in message] == [LEFT_OUT]


def test_table_keeps_its_columns(tmp_path: Path) -> None:
    findings = Findings({"card": "NVIDIA H200 | SXM", "torch": "2.11"}, [Row("a", "x|y", "one\ntwo", LOOK)])
    table, figures = findings.write(tmp_path)
    assert table.name == "nvidia-h200-sxm.md"
    assert "| a | x\\|y | one two | **LOOK** |" in table.read_text("utf-8")
    assert json.loads(figures.read_text("utf-8"))["passed"]
    assert file_stem({}) == "unknown"
