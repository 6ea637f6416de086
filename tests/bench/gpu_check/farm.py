"""Ray's actors on the GPU: the same bytes as in this process, and a replacement for one whose GPU is lost."""

import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from bench.gpu_check import lost_card
from bench.gpu_check.check import Check
from bench.gpu_check.clips import FrameClip, TimedRender, differing, frame_clip, render_config, timed_render
from bench.gpu_check.findings import FAIL

from vidnst.farm.jobs import Outcome, WorkerGroup
from vidnst.farm.multi_style_worker import MultiStyleWorker
from vidnst.farm.plan import Lane
from vidnst.farm.ray.actor_pool import RayPool
from vidnst.farm.ray.connection import RaySession

_START_SECONDS = 120.0
_ANSWER_SECONDS = 120.0


def check_ray(check: Check) -> None:
    """Renders on one actor and on two that share the GPU; then an actor that breaks its GPU."""
    check.require_package("ray")
    size, frames = ((96, 64), 4) if check.dry else ((256, 144), 10)
    with _session() as session, frame_clip(size, frames) as clip:
        check.say("GPUs that Ray sees", f"{session.gpus:g}: {', '.join(session.gpu_kinds) or 'none'}")
        inline = timed_render(clip, "inline", render_config(check))
        ways: dict[str, dict[str, float]] = {"one actor": {"farm.workers": 1}}
        if check.needs_cuda("two actors that share the GPU"):
            ways["two actors that share the GPU"] = {"farm.workers": 2, "farm.gpus_per_worker": 0.5}
        for name, settings in ways.items():
            config = render_config(check, {"farm.executor": "ray", **settings})
            _compare(check, clip, name, timed_render(clip, name.replace(" ", "-"), config), inline)
        _replace(check, session)


@contextmanager
def _session() -> Iterator[RaySession]:
    """Ray on this machine, whose workers get the code of the check by value, since it is not on their path."""
    with RaySession(address="local", cpus=4) as session:
        import ray

        pickling: Any = ray.cloudpickle
        pickling.register_pickle_by_value(lost_card)
        try:
            yield session
        finally:
            pickling.unregister_pickle_by_value(lost_card)


def _compare(check: Check, clip: FrameClip, name: str, found: TimedRender, wanted: TimedRender) -> None:
    different = differing(found.digest, wanted.digest)
    check.keep(**{name: {"seconds": found.seconds, "frames_per_second": found.frames_per_second, "gpu": found.gpu}})
    text = f"{len(different)} of {clip.count} frames differ from inline" if different else "inline's bytes"
    text += f"; {found.seconds:.1f} s, inline {wanted.seconds:.1f} s"
    check.judge(name, text, not different and len(found.digest) == clip.count, bad=FAIL)


def _replace(check: Check, session: RaySession) -> None:
    """The first job breaks the GPU of its actor; the second one is done by the replacement."""
    with tempfile.TemporaryDirectory() as folder:
        factory = lost_card.BreakingFactory(check.device.type, Path(folder) / "broken")
        gpus = 0.0 if check.dry else 1.0
        groups = {Lane.STYLE: WorkerGroup(MultiStyleWorker, 1, cpus=1, gpus=gpus)}
        with closing(RayPool(session, groups, start_timeout_seconds=_START_SECONDS)) as pool:
            (worker,) = pool.workers(Lane.STYLE)
            style_set = pool.share("breaking", factory)
            pool.submit(worker, lost_card.empty_job(0, style_set))
            died = _outcome(pool, lambda outcome: outcome.died)
            check.judge("an actor that breaks its GPU", f"{died.error}", died.died and died.away, bad=FAIL)
            back = _outcome(pool, lambda outcome: outcome.back)
            pool.submit(worker, lost_card.empty_job(1, style_set))
            done = _outcome(pool, lambda outcome: outcome.value is not None or outcome.error is not None)
            text = f"back {back.back}; it answers {done.value or done.error}"
            check.judge("its replacement", text, back.back and done.value == ("1.0", 8.0), bad=FAIL)
            again = "; ".join(pool.workers(Lane.STYLE))
            check.judge("its name", again, again == worker, bad=FAIL)


def _outcome(pool: RayPool, wanted: object) -> Outcome:
    """The next outcome of a kind."""
    assert callable(wanted)
    until = time.monotonic() + _ANSWER_SECONDS
    while time.monotonic() < until:
        for outcome in pool.wait(1.0):
            if wanted(outcome):
                return outcome
    raise TimeoutError("no such outcome came")
