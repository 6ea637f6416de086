"""A GPU that fails for good in a process: told from other errors, and no harm to other processes."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from bench.gpu_check.check import Check
from bench.gpu_check.findings import FAIL
from bench.gpu_check.material import config_of, content_of, stylizer_of

from vidnst.farm.device_errors import device_loss

_SCRIPT = Path(__file__).with_name("lost_card.py")
_SECONDS = 50
_DRY_SECONDS = 300


def check_lost(check: Check) -> None:
    """Break the GPU in a child process, and go on in this one."""
    stylizer, content = stylizer_of(check, config_of(check)), content_of(check, check.small_size)
    before = stylizer.stylize(content, iterations=3).image
    answer = _break(check)
    known = answer["raised"] == "DeviceLostError"
    check.judge("a device-side assert in a worker", f"{answer['raised']}: {answer['text']}", known, bad=FAIL)
    if check.needs_cuda("the same process afterwards"):
        later = answer["later"]
        check.judge("the same process afterwards", later, device_loss(RuntimeError(later)) is not None)
    after = stylizer.stylize(content, iterations=3).image
    same = torch.equal(before, after)
    check.judge("another process afterwards", "paints the same bytes" if same else "other bytes", same, bad=FAIL)


def _break(check: Check) -> dict[str, str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, str(_SCRIPT), check.device.type, str(Path(folder) / "broken")]
        seconds = _DRY_SECONDS if check.dry else _SECONDS
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=seconds, check=False, env=environment)
    lines = done.stdout.strip().splitlines()
    if not lines:
        return {"raised": f"the process ended with status {done.returncode}", "text": "", "later": ""}
    answer: dict[str, str] = json.loads(lines[-1])
    return answer
