"""The starting picture of a warm frame: `vidnst.motion.blend` on a device, without light and static areas.

The numbers are those of the CPU but for OpenCV's rounding of places to 1/32 of a pixel. Integers travel to the
device, nothing waits for it afterwards, and only operations of a fixed order take part (no atomics, cuDNN or cuBLAS),
so the bytes do not depend on the moment.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vidnst.motion.blend import BORDER_WINDOW_PX, MIN_TOTAL_SHARE, WarmSource
from vidnst.motion.gpu.detail_gain import band_contrast, blend_attenuation, box_mean, restore_detail
from vidnst.motion.gpu.disocclusion import match_colours
from vidnst.motion.gpu.upload import to_device, to_float_planes
from vidnst.motion.gpu.warp import DeviceGrid, warp_planes


@dataclass(frozen=True, slots=True)
class BlendedTensors:
    """The picture that a warm frame starts from and is pulled toward, on its device."""

    picture: Tensor
    """`(1, 3, H, W)` float32 in [0, 1]."""
    valid: Tensor
    """`(1, 1, H, W)` float32 in [0, 1]: 1 where the picture comes from states, 0 where from recoloured content."""


@dataclass(frozen=True, slots=True)
class UploadedSource:
    """A `WarmSource` whose arrays are on a device; its source frame is not needed there."""

    state: Tensor
    """`(H, W, 3)` int16, the bits of uint16."""
    vectors_px: Tensor | None
    valid: Tensor | None
    weight: float
    has_gaps: bool
    """True if the flow is invalid anywhere; known before the upload, so that nobody waits for the device to tell."""


def upload_source(source: WarmSource, device: torch.device) -> UploadedSource:
    """Copy a state and its flow to a device."""
    state, flow = to_device(source.state, device), source.flow
    if flow is None:
        return UploadedSource(state, None, None, source.weight, has_gaps=False)
    has_gaps = int(flow.valid.min()) < 255
    vectors_px, valid = to_device(flow.vectors_px, device), to_device(flow.valid, device)
    return UploadedSource(state, vectors_px, valid, source.weight, has_gaps)


def blend_on_device(content: Tensor, sources: Sequence[WarmSource]) -> BlendedTensors:
    """Warp states to a frame and blend them by weight and validity; recoloured content fills what none covers.

    Equal to `motion.blend.blend` without its options, except that OpenCV rounds positions to 1/32 of a pixel.

    Args:
        content: `(1, 3, H, W)` float32 in [0, 1], the frame to be stylized, on the device to compute on.
        sources: at least one.
    """
    return blend_uploaded(content, [upload_source(source, content.device) for source in sources])


def blend_uploaded(content: Tensor, sources: Sequence[UploadedSource]) -> BlendedTensors:
    """Blend states that have been uploaded; nothing here waits for the device."""
    blended, valid = _blend_states(sources, content)
    if all(source.has_gaps for source in sources):
        blended = torch.lerp(match_colours(content, blended, valid), blended, valid)
    return BlendedTensors(blended, valid)


def _blend_states(sources: Sequence[UploadedSource], content: Tensor) -> tuple[Tensor, Tensor]:
    """Return the weighted mean of the warped states with restored detail, and its validity."""
    several = len(sources) > 1
    shares, squares, valid = (torch.zeros_like(content[:, :1]) for _ in range(3))
    total = content.new_zeros((1, 5 if several else 3, *content.shape[-2:]))
    for source in sources:
        warped, warped_valid = _warp_state(source, with_contrast=several)
        share = source.weight * warped_valid
        total.addcmul_(warped, share)
        shares += share
        squares.addcmul_(share, share)
        valid = torch.maximum(valid, warped_valid)
    total /= shares.clamp_(min=MIN_TOTAL_SHARE)
    if several:
        max_gain = blend_attenuation(squares / shares.square(), len(sources))
        total = restore_detail(total[:, :3], total[:, 3:], max_gain)
    return total, valid


def _warp_state(source: UploadedSource, *, with_contrast: bool) -> tuple[Tensor, Tensor]:
    """Return a state on the frame's grid, its contrast in two more channels, and its validity."""
    state = to_float_planes(source.state)
    if with_contrast:
        state = torch.cat([state, band_contrast(state)], dim=1)
    if source.vectors_px is None or source.valid is None:
        return state, torch.ones_like(state[:, :1])
    grid = DeviceGrid.from_flow(source.vectors_px, source.valid, *state.shape[-2:])
    valid = box_mean(grid.valid, BORDER_WINDOW_PX).mul_(2).sub_(1).clamp_(0, 1)
    return warp_planes(state, grid), valid
