"""Finished states, fetched onto the frame to be stylized and blended: `vidnst.motion.blend` on a device.

Only what follows no light and locks nothing that stands still; the rest is `vidnst.motion.blend`'s alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vidnst.motion.blend import BORDER_SIDE_PX, LEAST_TRUST, WarmSource
from vidnst.motion.gpu.detail_gain import box_mean, contrast, most_lost, raise_detail
from vidnst.motion.gpu.disocclusion import match_colours
from vidnst.motion.gpu.upload import planes_of, send
from vidnst.motion.gpu.warp import DeviceGrid, fetch, places


@dataclass(frozen=True, slots=True)
class BlendedTensors:
    """What a warm frame begins at and is pulled toward, on its device."""

    picture: Tensor
    """`(1, 3, H, W)` float32 in [0, 1]."""
    valid: Tensor
    """`(1, 1, H, W)` float32 in [0, 1]: where the picture comes from states."""


@dataclass(frozen=True, slots=True)
class DeviceSource:
    """A start on a device: its arrays as they are."""

    state: Tensor
    vectors_px: Tensor | None
    valid: Tensor | None
    weight: float
    gaps: bool
    """Whether it leaves any place of the frame without a state: seen before, so that the device need not say."""

    def places(self, height: int, width: int) -> DeviceGrid | None:
        """None where nothing has moved."""
        if self.vectors_px is None or self.valid is None:
            return None
        return places(self.vectors_px, self.valid, height, width)


def begin(content: Tensor, starts: Sequence[WarmSource]) -> BlendedTensors:
    """The warped states, blended by weight and validity, and recoloured content where none is valid.

    As `motion.blend.blend` has it without its options, but for places in the states, which OpenCV rounds to 1/32 of a
    pixel.

    Args:
        content: `(1, 3, H, W)` float32 in [0, 1], the frame to be stylized, on the device that is to compute.
        starts: at least one; their sources are not read.
    """
    return begin_with(content, [send_start(start, content.device) for start in starts])


def begin_with(content: Tensor, starts: Sequence[DeviceSource]) -> BlendedTensors:
    """The same of starts that have been sent: nothing in it waits for the device."""
    blended, valid = _blended(starts, content)
    if all(start.gaps for start in starts):
        blended = torch.lerp(match_colours(content, blended, valid), blended, valid)
    return BlendedTensors(blended, valid)


def send_start(start: WarmSource, device: torch.device) -> DeviceSource:
    """A start as it goes to a device; its source does not."""
    state, flow = send(start.state, device), start.flow
    if flow is None:
        return DeviceSource(state, None, None, start.weight, gaps=False)
    gaps = int(flow.valid.min()) < 255
    return DeviceSource(state, send(flow.vectors_px, device), send(flow.valid, device), start.weight, gaps)


def _blended(sent: Sequence[DeviceSource], content: Tensor) -> tuple[Tensor, Tensor]:
    """The mean of all starts, with the detail that they have, and where any is valid."""
    several = len(sent) > 1
    trust, squares, valid = (torch.zeros_like(content[:, :1]) for _ in range(3))
    total = content.new_zeros((1, 5 if several else 3, *content.shape[-2:]))
    for one in sent:
        found, own = _fetched(one, detailed=several)
        share = one.weight * own
        total.addcmul_(found, share)
        trust += share
        squares.addcmul_(share, share)
        valid = torch.maximum(valid, own)
    total /= trust.clamp_(min=LEAST_TRUST)
    if several:
        total = raise_detail(total[:, :3], total[:, 3:], most_lost(squares / trust.square(), len(sent)))
    return total, valid


def _fetched(one: DeviceSource, *, detailed: bool) -> tuple[Tensor, Tensor]:
    """A start's state on the frame's grid, its contrast in two more channels, and where it is valid."""
    state = planes_of(one.state)
    if detailed:
        state = torch.cat([state, contrast(state)], dim=1)
    at = one.places(*state.shape[-2:])
    if at is None:
        return state, torch.ones_like(state[:, :1])
    return fetch(state, at), box_mean(at.valid, BORDER_SIDE_PX).mul_(2).sub_(1).clamp_(0, 1)
