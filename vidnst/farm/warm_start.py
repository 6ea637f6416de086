"""The start of a warm frame, blended from the states that its job brings."""

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vidnst.config import MotionConfig
from vidnst.farm.jobs import GivenPart, StylizeJob
from vidnst.frames import to_float_planes
from vidnst.motion.blend import BlendedStart, blend
from vidnst.motion.gpu.blend import blend_on_device
from vidnst.motion.gpu.upload import to_device
from vidnst.style.losses.objective import WarmStart


def blends_on_device(device: torch.device) -> bool:
    """True if starts are blended on the worker's device rather than on the CPU with OpenCV, which is faster there."""
    return device.type == "cuda"


def start_on_device(content: Tensor, job: StylizeJob, motion: MotionConfig) -> WarmStart:
    """Blend a job's starts on the device of its content."""
    blended = blend_on_device(content, job.starts, follow_light=motion.follow_light, static_levels=motion.static_lock)
    share = job.content_share
    picture = torch.lerp(blended.picture, content, share) if share > 0 else blended.picture
    return WarmStart(
        picture,
        blended.valid,
        blended.luma_change,
        blended.static,
        None if motion.light_share is not None else blended.warped_source,
        hold=job.hold,
        rate=job.rate,
        renew_at=job.renew_at,
    )


def blend_on_cpu(job: StylizeJob, motion: MotionConfig) -> BlendedStart:
    """Blend a job's starts with OpenCV."""
    return blend(job.content, job.starts, follow_light=motion.follow_light, static_levels=motion.static_lock)


def to_warm_start(blended: BlendedStart, job: StylizeJob, device: torch.device, *, even_light: bool) -> WarmStart:
    """Bring a blended start to the device.

    Args:
        even_light: all frames have one light, so that no start must be relit.
    """
    light, static, source = (
        None if map_ is None else _planes_on(device, map_)
        for map_ in (blended.luma_change, blended.static, None if even_light else blended.warped_source)
    )
    first = blended.picture
    if job.content_share > 0:
        share = np.float32(job.content_share)
        first = (1 - share) * first + share * to_float_planes(job.content)
    picture, mask = _planes_on(device, first), _planes_on(device, blended.valid)
    return WarmStart(picture, mask, light, static, source, hold=job.hold, rate=job.rate, renew_at=job.renew_at)


def with_given(start: WarmStart, given: GivenPart) -> WarmStart:
    """Put what a person has painted of the frame over its start, and hold it there."""
    device = start.picture.device
    height, width = given.state.shape[:2]
    opaque = np.ones((height, width), np.float32) if given.opaque is None else given.opaque.astype(np.float32)
    where = _planes_on(device, opaque)
    painting = _planes_on(device, to_float_planes(given.state))
    return replace(
        start,
        picture=torch.where(where > 0, painting, start.picture),
        mask=torch.maximum(start.mask, where),
        fixed=where * given.weight,
    )


def _planes_on(device: torch.device, channels: NDArray[np.float32]) -> Tensor:
    """`(H, W)` or `(C, H, W)` to `(1, C, H, W)`."""
    return to_device(channels.reshape(1, -1, *channels.shape[-2:]), device)
