"""Workers that break their GPU for good, and a script that shows what a process is worth after that.

`python lost_card.py cuda` provokes a device-side assert in a stylizing worker, and prints as JSON which error it
raised, and what the process says to the next computation. `python lost_card.py cpu` raises a stand-in.
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vidnst.farm.jobs import DeviceLostError, Shared, StylizeJob
from vidnst.farm.multi_style_worker import MultiStyleWorker
from vidnst.farm.plan import StateId

STAND_IN = "CUDA error: device-side assert triggered\nCUDA kernel errors might be asynchronously reported."


def break_device(device: str) -> None:
    """Make the GPU fail as an index out of its range does."""
    import torch

    if device == "cpu":
        raise RuntimeError(STAND_IN)
    values, index = torch.zeros(4, device=device), torch.tensor([1 << 20], device=device)
    values[index].sum().item()


@dataclass(frozen=True)
class BreakingWorker:
    """Breaks its GPU at its first job ever, of which a file tells, and answers the others."""

    device: str
    broken: Path

    def run(self, job: Any) -> tuple[str, float]:
        """Compute something on the device, or break it."""
        import torch

        if not self.broken.exists():
            self.broken.touch()
            break_device(self.device)
        return str(job.node), float(torch.ones(8, device=self.device).sum())


@dataclass(frozen=True)
class BreakingFactory:
    """Makes such workers."""

    device: str
    broken: Path

    def __call__(self) -> BreakingWorker:
        return BreakingWorker(self.device, self.broken)


def empty_job(number: int, style_set: Shared) -> StylizeJob:
    """A job of which only the name is read."""
    return StylizeJob(StateId(number), None, (), 1, 0, style_set=style_set)  # type: ignore[arg-type]


def _main(device: str, broken: Path) -> None:
    import torch

    worker = MultiStyleWorker()
    job = empty_job(0, Shared("breaking", BreakingFactory(device, broken)))
    answer = {"raised": "nothing", "text": "", "later": "works"}
    try:
        worker.run(job)
    except DeviceLostError as error:
        answer |= {"raised": "DeviceLostError", "text": str(error)}
    except RuntimeError as error:
        answer |= {"raised": type(error).__name__, "text": str(error).splitlines()[0]}
    try:
        torch.ones(8, device=device).sum().item()
    except RuntimeError as error:
        answer["later"] = str(error).splitlines()[0]
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    _main(sys.argv[1], Path(sys.argv[2]))
