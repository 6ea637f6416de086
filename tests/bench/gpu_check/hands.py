"""Several jobs in work at one device: the same bytes, and how much of the time the device paints."""

import numpy as np
from bench.gpu_check.check import Check
from bench.gpu_check.findings import FAIL
from bench.gpu_check.material import config_of, jobs_of, run_with_hands, worker_of

from vidnst.farm.jobs import Stylized

HANDS = (1, 2, 10)
_GOOD_SHARE = 0.9


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


def _compare(check: Check, what: str, found: list[Stylized], wanted: list[Stylized]) -> None:
    same = all(np.array_equal(one.state, other.state) for one, other in zip(found, wanted, strict=True))
    check.judge(what, "the same states" if same else "other states than with one", same, bad=FAIL)
