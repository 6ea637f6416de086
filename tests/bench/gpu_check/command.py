"""The command: options in, a table, two files and an exit status out."""

import argparse
import json
import signal
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.gpu_check.findings import Findings, Row
from bench.gpu_check.parts import choose_parts
from bench.gpu_check.supervisor import START_SECONDS, Supervisor

FOLDER = Path(__file__).resolve().parent
GPU_SECONDS = 460.0
DRY_FACTOR = 8.0
"""Times as long as on a GPU that everything may take in a dry run."""


def main(words: Sequence[str] | None = None) -> int:
    """Run the check; returns 0 if no part failed and none was left out."""
    parser = _parser()
    options = parser.parse_args(words)
    if options.child is not None:
        _run_child(json.loads(Path(options.child).read_text("utf-8")))
        return 0
    try:
        options.parts = choose_parts([name for name in options.parts.split(",") if name])
    except ValueError as error:
        parser.error(str(error))
    options.out.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the child is ended
    with tempfile.TemporaryDirectory(prefix="gpu-check-") as folder:
        findings = _supervise(options, Path(folder))
    table, figures = findings.write(options.out)
    sys.stdout.write(f"\n{findings.to_markdown()}\n{table}, {figures}\n")
    return 0 if findings.passed else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="gpu_check", description="Check and time what runs differently on a GPU.")
    parser.add_argument("--dry", action="store_true", help="on a CPU, at tiny sizes: proves the check itself")
    parser.add_argument("--out", type=Path, default=Path("gpu-check"), help="folder of the results")
    parser.add_argument("--parts", default="", help="names of parts, with commas; by default all")
    parser.add_argument("--frames", type=int, default=32, help="of the default render at 1280x720")
    parser.add_argument("--weights", help="a file of VGG19's filters; by default those that are installed")
    parser.add_argument("--raft", help="a file of RAFT's weights; by default random ones")
    parser.add_argument("--limit", type=float, help=f"seconds for everything; by default {GPU_SECONDS:.0f}")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    return parser


def _supervise(options: argparse.Namespace, folder: Path) -> Findings:
    factor = DRY_FACTOR if options.dry else 1.0
    until = time.time() + (options.limit or GPU_SECONDS * factor)
    budgets = {part.name: part.seconds * factor for part in options.parts}

    def command(parts: Sequence[str], facts: Mapping[str, Any]) -> Sequence[str]:
        task = folder / "task.json"
        values = {
            "options": {
                "dry": options.dry,
                "out": str(options.out),
                "frames": options.frames,
                "weights": options.weights,
                "raft": options.raft,
            },
            "parts": list(parts),
            "until": until,
            "facts": facts,
        }
        task.write_text(json.dumps(values, default=str), "utf-8")
        return [sys.executable, str(FOLDER), "--child", str(task)]

    supervisor = Supervisor(
        command,
        budgets,
        until=until,
        log=options.out / "gpu_check.log",
        start_seconds=START_SECONDS * factor,
        show=_show,
    )
    return supervisor.run(lambda findings: findings.write(options.out) if findings.machine else None)


def _run_child(task: Mapping[str, Any]) -> None:
    from bench.gpu_check.check import Options
    from bench.gpu_check.child import run_child

    options = Options(**{**task["options"], "out": Path(task["options"]["out"])})
    parts = choose_parts(task["parts"])
    run_child(options, parts, until=task["until"], facts=task["facts"])


def _show(row: Row) -> None:
    mark = f"  {row.verdict}" if row.verdict else ""
    sys.stdout.write(f"{row.part:10} {row.what:52} {row.value}{mark}\n")
    sys.stdout.flush()
