"""The child process: runs parts one after the other, and reports on its standard output, a JSON object a line."""

import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from bench.gpu_check.check import Check, Options, UnavailableError
from bench.gpu_check.findings import FAIL, LEFT_OUT
from bench.gpu_check.parts import Part

LEAST_SECONDS = 5.0
"""Time that must be left for a part to begin."""

Report = Callable[[dict[str, Any]], None]


def run_child(options: Options, parts: Sequence[Part], *, until: float, facts: Mapping[str, Mapping[str, Any]]) -> None:
    """Run parts until the time is up, or until the GPU is lost.

    Args:
        until: the time, as `time.time` has it, at which the whole check must be over.
        facts: what parts in an earlier child found.
    """
    report = _take_standard_output()
    if not options.dry and (problem := missing_gpu()):
        report({"machine": {"card": "no GPU"}})
        report({"row": ["card", "the GPU", f"{problem}; --dry checks the check itself", FAIL]})
        for part in parts:
            report({"end": part.name, "seconds": 0.0})
        return
    report({"machine": describe(options.dry)})
    run_parts(options, parts, report, until=until, facts=facts)


def run_parts(
    options: Options,
    parts: Sequence[Part],
    report: Report,
    *,
    until: float,
    facts: Mapping[str, Mapping[str, Any]],
) -> None:
    """Run parts and report each, until the GPU is lost: then those after it are not reported."""
    check = Check(options, report, facts)
    for part in parts:
        check.part = part.name
        if time.time() > until - LEAST_SECONDS:
            check.say("the part", "no time left", LEFT_OUT)
            report({"end": part.name, "seconds": 0.0})
            continue
        report({"begin": part.name})
        began = time.perf_counter()
        usable = _run(part, check)
        report({"end": part.name, "seconds": round(time.perf_counter() - began, 1)})
        if not usable:
            return


def _run(part: Part, check: Check) -> bool:
    """Run a part; returns False if this process can compute nothing more on the GPU."""
    try:
        part.load()(check)
    except UnavailableError as reason:
        check.say("the part", str(reason), reason.verdict)
    except Exception as error:
        traceback.print_exc()
        where = traceback.extract_tb(error.__traceback__)[-1]
        first = next(iter(str(error).splitlines()), "")[:160]
        check.say("the part", f"{type(error).__name__}: {first} ({Path(where.filename).name}:{where.lineno})", FAIL)
    try:
        check.tidy()
        return check.dry or int(torch.ones(8, device=check.device).sum()) == 8
    except RuntimeError:
        check.say("the GPU", "lost to this process; another one does the rest", FAIL)
        return False


def missing_gpu() -> str:
    """Why there is no GPU to check; empty if there is one."""
    from vidnst.devices.gpus import find_cards

    cards = find_cards()
    if cards and not cards[0].problem:
        return ""
    return f"{cards[0].name} cannot be used: {cards[0].problem}" if cards else "torch sees no GPU"


def describe(dry: bool) -> dict[str, Any]:
    """The machine and the versions on it."""
    import vidnst
    from vidnst.tools.bench.machine import describe_machine, device_name

    device = torch.device("cpu" if dry else "cuda")
    machine = describe_machine(device)
    gpu = machine["gpu"] or {}
    return {
        "card": device_name(device),
        "dry": dry,
        "vidnst": vidnst.__version__,
        "torch": torch.__version__,
        "CUDA": gpu.get("cuda"),
        "cuDNN": gpu.get("cudnn"),
        "Python": machine["python"],
        "cores": machine["cores"],
    }


def _take_standard_output() -> Report:
    """Keep the standard output for reports; what else is printed goes to the standard error."""
    channel = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    sys.stdout.flush()
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def report(message: dict[str, Any]) -> None:
        channel.write(json.dumps(message, default=str) + "\n")
        channel.flush()

    return report
