"""RAFT on the device against the CPU, and what happens if it does not fit into memory."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from bench.gpu_check.check import Check
from bench.gpu_check.findings import FAIL, NEEDS_CUDA
from bench.gpu_check.material import config_of, frame
from torch import nn

from vidnst.farm.flow_fallback import estimate_in_memory
from vidnst.motion.flow import FlowPair, NotedFlowPair, estimate_pair
from vidnst.motion.raft import Raft, build_raft, load_raft_weights

SMALL = (160, 128)
"""The least that RAFT takes."""


def raft_network(check: Check, device: torch.device | None = None) -> nn.Module:
    """The network with the given weights, or with random ones, with which flows mean nothing."""
    from torchvision.models import optical_flow

    if check.options.raft:
        weights = load_raft_weights(Path(check.options.raft))
    else:
        make = optical_flow.raft_small if check.dry else optical_flow.raft_large
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            state = make(weights=None).state_dict()
        weights = {name: value.numpy() for name, value in state.items() if value.is_floating_point()}
    return build_raft(weights, device or check.device)


def check_flow(check: Check) -> None:
    """The same flow as on a CPU, the same every time, and something in any memory."""
    config = config_of(check, motion={"method": "raft", "size": SMALL[0]}).motion
    frames = frame(SMALL), frame(SMALL, 1)
    here = Raft(raft_network(check), config, device=check.device)
    cpu = torch.device("cpu")
    there = Raft(raft_network(check, cpu), config, device=cpu)
    one, two, reference = (raft.estimate_pair(*frames) for raft in (here, here, there))
    check.judge("twice", *_same(one, two), bad=FAIL)
    off = np.abs(one.forward.vectors_px - reference.forward.vectors_px)
    scale = max(1.0, float(np.abs(reference.forward.vectors_px).mean()))
    text = f"off by up to {off.max():.1e} pixels, {off.mean():.1e} in the mean, of {scale:.1f}"
    check.judge("against a CPU", text, float(off.mean()) < 0.01 * scale)
    in_turn = here.estimate_pair(*frames, in_turn=True)
    off = np.abs(one.forward.vectors_px - in_turn.forward.vectors_px)
    check.judge("the two directions in turn", f"off by up to {off.max():.1e} pixels", float(off.mean()) < 0.01 * scale)
    _fallback(check, config, frames)
    _time(check)


def _same(one: FlowPair, other: FlowPair) -> tuple[str, bool]:
    same = all(np.array_equal(a.vectors_px, b.vectors_px) for a, b in zip(one, other, strict=True))
    return ("the same vectors" if same else "other vectors"), same


class _Short(nn.Module):
    """A network for which memory is always too small."""

    def forward(self, first: Any, second: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")


def _fallback(check: Check, config: Any, frames: tuple[Any, Any]) -> None:
    wanted = estimate_pair(*frames, config)
    found = estimate_in_memory(Raft(_Short(), config, device=check.device), *frames, config)
    note = found.note if isinstance(found, NotedFlowPair) else "no note"
    same = np.array_equal(found.forward.vectors_px, wanted.forward.vectors_px)
    check.judge("a network that never fits", note, same and "DIS" in note, bad=FAIL)
    if check.dry:
        check.say("a card that is too small", "-", NEEDS_CUDA)
        return
    size = 1280
    raft = Raft(
        raft_network(check), config_of(check, motion={"method": "raft", "size": size}).motion, device=check.device
    )
    check.tidy()
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(1.2 * 2**30 / total)
    try:
        found = estimate_in_memory(raft, frame((size, 720)), frame((size, 720), 1), config)
    finally:
        check.tidy()
    note = found.note if isinstance(found, NotedFlowPair) else ""
    check.judge("1280x720 on a card of 1.2 GiB", note or "in its usual way, or in turn", True)


def _time(check: Check) -> None:
    sizes = (160,) if check.dry else (640, 1280)
    size = SMALL if check.dry else check.size_720p
    frames = frame(size), frame(size, 1)
    milliseconds = {}
    for side in sizes:
        motion = config_of(check, motion={"method": "raft", "size": side}).motion
        raft = Raft(raft_network(check), motion, device=check.device)
        milliseconds[f"RAFT at {side}"] = 1e3 * check.shortest_seconds(lambda r=raft: r.estimate_pair(*frames))  # type: ignore[misc]
    milliseconds["DIS on the CPU"] = 1e3 * check.shortest_seconds(lambda: estimate_pair(*frames))
    check.keep(milliseconds=milliseconds)
    check.say("a pair both ways, ms", ", ".join(f"{name} {value:.1f}" for name, value in milliseconds.items()))
