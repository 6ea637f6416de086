"""Several jobs in work at one device: the same bytes, and how much of the time the device paints."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from bench.gpu_check.check import Check
from bench.gpu_check.findings import FAIL
from bench.gpu_check.material import (
    config_of,
    content_of,
    jobs_of,
    run_with_hands,
    stylizer_of,
    warm_start,
    worker_of,
)

from vidnst.farm.jobs import Stylized
from vidnst.farm.switch_interval import restore_switch_interval, shorten_switch_interval

HANDS = (1, 2, 10)
_GOOD_SHARE = 0.9
"""Least share of the time in which the device paints while ten jobs are in work."""
_MOST_SLOWER = 3.0
"""Times as slow as alone that an evaluation may be next to a busy Python thread."""


def check_hands(check: Check) -> None:
    """Do the jobs of a pass with one job in work, with two and with ten."""
    count = 3 if check.dry else 24
    motions = {"plain": {}, "light and static areas": {"follow_light": True, "static_lock": 4.0}}
    for name, motion in motions.items():
        worker = worker_of(check, config_of(check, motion=motion))
        jobs = jobs_of(count, check.size_720p, with_sources=bool(motion))
        worker.run(jobs[0])  # loads kernels
        reference: list[Stylized] = []
        shares = {}
        for hands in HANDS:
            seconds, results = run_with_hands(worker, jobs, hands)
            reference = reference or results
            _compare(check, f"{name}, {hands} jobs in work", results, reference)
            painted = sum(result.device_seconds or 0.0 for result in results)
            shares[hands] = {"nodes_per_second": count / seconds, "device_share": painted / seconds}
        check.keep(**{name: shares})
        shown = "; ".join(
            f"{hands}: {row['nodes_per_second']:.1f}, {row['device_share']:.0%}" for hands, row in shares.items()
        )
        good = check.dry or shares[HANDS[-1]]["device_share"] >= _GOOD_SHARE
        check.judge(f"{name}: nodes a second, share of the device's time", shown, good)
        worst = [result.repaired or result.suspect for result in reference if result.repaired or result.suspect]
        if worst:
            check.say(f"{name}: quality", worst[0])


def check_threads(check: Check) -> None:
    """An evaluation while another thread of the process runs Python without a pause."""
    size = (48, 32) if check.dry else (640, 360)
    stylizer, content = stylizer_of(check, config_of(check)), content_of(check, size)
    start, count = warm_start(size, check.device), 3 if check.dry else 30
    milliseconds = {}

    def time_it(name: str) -> None:
        seconds = check.shortest_seconds(lambda: stylizer.stylize(content, start=start, iterations=count))
        milliseconds[name] = seconds / count * 1e3

    time_it("alone")
    with _busy_thread():
        time_it("next to a busy thread")
        shorten_switch_interval()
        try:
            time_it("with the switch interval of renders")
        finally:
            restore_switch_interval()
    check.keep(milliseconds=milliseconds)
    shown = ", ".join(f"{name} {value:.2f}" for name, value in milliseconds.items())
    slower = milliseconds["with the switch interval of renders"] / milliseconds["alone"]
    check.judge("ms of an evaluation", shown, check.dry or slower < _MOST_SLOWER)


@contextmanager
def _busy_thread() -> Iterator[None]:
    """A thread that never waits, while the block runs."""
    over = threading.Event()

    def count() -> None:
        number = 0
        while not over.is_set():
            number += 1

    thread = threading.Thread(target=count, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _compare(check: Check, what: str, found: list[Stylized], wanted: list[Stylized]) -> None:
    same = all(np.array_equal(one.state, other.state) for one, other in zip(found, wanted, strict=True))
    check.judge(what, "the same states" if same else "other states than with one", same, bad=FAIL)
