"""The training of the small network: some steps twice, and against the CPU."""

import time

import torch
from bench.gpu_check.check import Check, relative_error
from bench.gpu_check.findings import FAIL
from bench.gpu_check.material import frame

from vidnst.devices.determinism import reproducible_mode
from vidnst.style.distill.crops import Crops
from vidnst.style.distill.distillation import Distillation, DistillSettings
from vidnst.style.network.random_filters import random_features

_TEACHER_SEED = 7
_FAR = 1e-2
"""Difference from the CPU's student, over its size, worth a look: the last bits of a fit decide its channels."""


def check_distill(check: Check) -> None:
    """Distil a few steps; random filters teach as well as VGG19's."""
    steps = 2 if check.dry else 8
    settings = DistillSettings(
        learn_to="relu2_1" if check.dry else "relu4_1", steps=steps, crop_px=16 if check.dry else 96
    )
    (one, seconds), (two, _) = (_distil(settings, check.device) for _ in range(2))
    same = all(torch.equal(one[name], two[name]) for name in one)
    check.judge("a training, twice", "the same bytes" if same else "other weights", same, bad=FAIL)
    check.keep(seconds_per_step=seconds)
    check.say(f"{steps} steps", f"{seconds * 1e3:.0f} ms each")
    here, _ = _distil(settings, torch.device("cpu"))
    names = [name for name in one if name.startswith("student.")]
    off = max(relative_error(one[name], here[name]) for name in names)
    check.judge("the student against the CPU's", f"off by up to {off:.1e}", off < _FAR)


def _distil(settings: DistillSettings, device: torch.device) -> tuple[dict[str, torch.Tensor], float]:
    """The state after the training, and the seconds of its last step."""
    pictures = [frame((160, 120), number) for number in range(4)]
    crops = Crops(pictures, side_px=settings.crop_px, seed=0, device=device)
    with reproducible_mode():
        distillation = Distillation(random_features(settings.learn_to, seed=_TEACHER_SEED), crops, settings)
        for _ in range(settings.steps):
            began = time.perf_counter()
            distillation.advance()  # it reads the loss, so it waits for the device
            seconds = time.perf_counter() - began
    return distillation.state(), seconds
