"""What surrounds the painting of a frame: its content and its start come to the device, and the result leaves it.

None of this needs the device for itself, so a worker does it before and after its turn. On a GPU, copies go through
pinned memory and a stream of their own, and so wait for nothing that is being painted; the painting waits for an event
instead of the host.
"""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from vidnst.config import MotionConfig
from vidnst.farm.jobs import StylizeJob
from vidnst.farm.warm_start import blend_on_cpu, blends_on_device, start_on_device, to_warm_start, with_given
from vidnst.frames import State
from vidnst.motion.blend import BlendedStart
from vidnst.motion.gpu.upload import upload
from vidnst.style.losses.objective import WarmStart
from vidnst.style.tensors import from_pixels, state_bits, to_state


@dataclass(frozen=True, slots=True)
class PreparedFrame:
    """The inputs of a painting, on the device or on their way there."""

    content: Tensor
    start: WarmStart | None
    """None for a cold start."""
    arrived: "torch.cuda.Event | None" = None
    """Recorded when all of it is there; None if it is."""


@dataclass(frozen=True, slots=True)
class LeavingPicture:
    """A painted picture whose copy to the host has not begun."""

    picture: Tensor
    """The result, or on a GPU its bits as a state has them."""
    painted: "torch.cuda.Event | None" = None


class FrameTransfer:
    """Brings frames to a device and back. Threads may use it at the same time.

    Args:
        device: where frames are painted.
        motion: says how starts are blended.
    """

    def __init__(self, device: torch.device, motion: MotionConfig) -> None:
        self._device = device
        self._motion = motion
        self._copies = _new_stream(device) if device.type == "cuda" else None

    def blend(self, job: StylizeJob) -> BlendedStart | None:
        """Blend a job's starts on the CPU; None if it has none, or if they are blended on the device."""
        if not job.starts or blends_on_device(self._device):
            return None
        return blend_on_cpu(job, self._motion)

    def prepare(self, job: StylizeJob, blended: BlendedStart | None) -> PreparedFrame:
        """Bring a job's content and start to the device; the start as `blend` gave it, or else blended there."""
        with self._beside_painting():
            # `upload` gives the same numbers as `from_pixels`.
            content = upload(job.content, self._device) if self._copies else from_pixels(job.content, self._device)
            start = None
            if blended is not None:
                start = to_warm_start(blended, job, self._device, even_light=self._motion.light_share is not None)
            elif job.starts:
                start = start_on_device(content, job, self._motion)
            if start is not None and job.given is not None:
                start = with_given(start, job.given)
            arrived = self._copies.record_event() if self._copies else None
        return PreparedFrame(content, start, arrived)

    def receive(self, frame: PreparedFrame) -> PreparedFrame:
        """Make sure, in the turn at the device, that what is computed from now on finds the frame there."""
        if frame.arrived is None:
            return frame
        stream = torch.cuda.current_stream(self._device)
        stream.wait_event(frame.arrived)
        for tensor in (frame.content, *(frame.start.tensors if frame.start else ())):
            tensor.record_stream(stream)
        return replace(frame, arrived=None)

    def release(self, picture: Tensor) -> LeavingPicture:
        """Make a result ready to leave, in the turn at the device."""
        if self._copies is None:
            return LeavingPicture(picture)
        return LeavingPicture(state_bits(picture), torch.cuda.current_stream(self._device).record_event())

    def fetch(self, leaving: LeavingPicture) -> State:
        """Copy a result to the host, after the turn at the device."""
        if self._copies is None or leaving.painted is None:
            return to_state(leaving.picture)
        bits = torch.empty(leaving.picture.shape, dtype=leaving.picture.dtype, pin_memory=True)
        with self._beside_painting():
            self._copies.wait_event(leaving.painted)
            bits.copy_(leaving.picture, non_blocking=True)
            leaving.picture.record_stream(self._copies)
            copied = self._copies.record_event()
        copied.synchronize()
        return np.array(bits.numpy()).view(np.uint16)  # out of pinned memory, which is scarce

    def _beside_painting(self) -> AbstractContextManager[object]:
        return nullcontext() if self._copies is None else torch.cuda.stream(self._copies)


def _new_stream(device: torch.device) -> torch.cuda.Stream:
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
