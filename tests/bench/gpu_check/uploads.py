"""Pinned uploads and the stream for copies: the same numbers, and nothing waits for what is painted."""

import time
from dataclasses import replace

import numpy as np
import torch
from bench.gpu_check.check import Check
from bench.gpu_check.findings import FAIL
from bench.gpu_check.material import config_of, frame, jobs_of

from vidnst.farm.frame_transfer import FrameTransfer
from vidnst.frames import to_16_bits
from vidnst.motion.gpu.upload import upload
from vidnst.style.tensors import from_pixels, to_state

_PAINTING_SECONDS = 0.3
"""How long the device is busy while a frame is prepared."""


def check_uploads(check: Check) -> None:
    """Bring frames to the device and back, alone and while it is busy."""
    _numbers(check)
    _read_only(check)
    _round_trip(check)
    if check.needs_cuda("copies while the device paints"):
        _while_busy(check)
        _without_waiting(check)


def _numbers(check: Check) -> None:
    eight = frame((64, 48))
    for name, pixels in (("8 bits", eight), ("16 bits", to_16_bits(eight) + np.uint16(77))):
        same = torch.equal(upload(pixels, check.device).cpu(), from_pixels(pixels))
        check.judge(f"uploaded frames of {name}", "the CPU's numbers" if same else "other numbers", same, bad=FAIL)
    picture = torch.rand(1, 3, 48, 64, generator=torch.Generator().manual_seed(3))
    same = bool((to_state(picture.to(check.device)) == to_state(picture)).all())
    check.judge("states made on the device", "the CPU's bits" if same else "other bits", same, bad=FAIL)


def _read_only(check: Check) -> None:
    """As Ray gives arrays."""
    pixels = to_16_bits(frame((64, 48)))
    pixels.setflags(write=False)
    same = torch.equal(upload(pixels, check.device).cpu(), from_pixels(pixels))
    check.judge("read-only arrays", "the CPU's numbers" if same else "other numbers", same, bad=FAIL)


def _round_trip(check: Check) -> None:
    """Many frames through one transfer: pinned memory must not be reused before it is read."""
    transfer = FrameTransfer(check.device, config_of(check).motion)
    size = check.size_720p
    wrong = 0
    for job in jobs_of(4 if check.dry else 24, size):
        pixels = np.roll(job.content, 3 * job.seed, axis=1)
        prepared = transfer.receive(transfer.prepare(replace(job, content=pixels, starts=()), None))
        state = transfer.fetch(transfer.release(prepared.content))
        wrong += not bool((state == to_16_bits(pixels)).all())
    text = "all frames came back" if not wrong else f"{wrong} frames came back changed"
    check.judge("there and back", text, not wrong, bad=FAIL)


def _while_busy(check: Check) -> None:
    """Prepare a frame while the device is busy, on another stream, for a while."""
    transfer = FrameTransfer(check.device, config_of(check).motion)
    (job,) = jobs_of(1, check.size_720p)
    transfer.prepare(job, None)
    torch.cuda.synchronize()
    cycles = _cycles_per_second() * _PAINTING_SECONDS
    began = time.perf_counter()
    torch.cuda._sleep(round(cycles))  # type: ignore[no-untyped-call]
    busy = torch.cuda.current_stream().record_event()
    prepared = transfer.prepare(job, None)
    handed = time.perf_counter() - began
    assert prepared.arrived is not None
    prepared.arrived.synchronize()
    arrived, still_busy = time.perf_counter() - began, not busy.query()
    torch.cuda.synchronize()
    text = f"handed over after {handed * 1e3:.1f} ms, there after {arrived * 1e3:.1f} ms"
    check.keep(handed_ms=handed * 1e3, arrived_ms=arrived * 1e3)
    check.judge(f"a frame, while the device is busy for {_PAINTING_SECONDS * 1e3:.0f} ms", text, still_busy)


def _cycles_per_second() -> float:
    """Of `torch.cuda._sleep`."""
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
    start.record()
    torch.cuda._sleep(10_000_000)  # type: ignore[no-untyped-call]
    end.record()
    end.synchronize()
    return float(10_000_000 / (start.elapsed_time(end) / 1e3))


def _without_waiting(check: Check) -> None:
    """torch itself says if something waits for the device."""
    transfer = FrameTransfer(check.device, config_of(check).motion)
    (job,) = jobs_of(1, check.size_720p)
    transfer.prepare(job, None)
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        transfer.prepare(job, None)
        problem = ""
    except RuntimeError as error:
        problem = str(error).splitlines()[0][:100]
    finally:
        torch.cuda.set_sync_debug_mode("default")
    check.judge("preparing a frame waits for nothing", problem or "so torch says", not problem, bad=FAIL)
