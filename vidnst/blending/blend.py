"""Finished states, fetched onto the frame to be stylized and blended: `vidnst.motion.blend` on a device.

Only what follows no light and locks nothing that stands still; the rest is `vidnst.motion.blend`'s alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vidnst.blending.detail import contrast, raise_detail
from vidnst.blending.fill import match_colours
from vidnst.blending.upload import planes_of, send
from vidnst.blending.warp import Places, fetch, places
from vidnst.motion.blend import LEAST_TRUST, Start


@dataclass(frozen=True, slots=True)
class Begun:
    """What a warm frame begins at and is pulled toward, on its device."""

    picture: Tensor
    """`(1, 3, H, W)` float32 in [0, 1]."""
    valid: Tensor
    """`(1, 1, H, W)` float32 in [0, 1]: where the picture comes from states."""


@dataclass(frozen=True, slots=True)
class _Sent:
    """A start on the device, as it was sent."""

    state: Tensor
    vectors_px: Tensor | None
    valid: Tensor | None
    weight: float

    def places(self, height: int, width: int) -> Places | None:
        """None where nothing has moved."""
        if self.vectors_px is None or self.valid is None:
            return None
        return places(self.vectors_px, self.valid, height, width)


def begin(content: Tensor, starts: Sequence[Start]) -> Begun:
    """The warped states, blended by weight and validity, and recoloured content where none is valid.

    As `motion.blend.blend` has it without its options, but for places in the states, which OpenCV rounds to 1/32 of a
    pixel. Nothing waits for the device once the starts have been sent to it.

    Args:
        content: `(1, 3, H, W)` float32 in [0, 1], the frame to be stylized, on the device that is to compute.
        starts: at least one; their sources are not read.
    """
    sent = [_send(start, content.device) for start in starts]
    blended, valid = _blended(sent, content)
    if all(_has_gaps(start) for start in starts):
        blended = torch.lerp(match_colours(content, blended, valid), blended, valid)
    return Begun(blended, valid)


def _send(start: Start, device: torch.device) -> _Sent:
    state, flow = send(start.state, device), start.flow
    if flow is None:
        return _Sent(state, None, None, start.weight)
    return _Sent(state, send(flow.vectors_px, device), send(flow.valid, device), start.weight)


def _has_gaps(start: Start) -> bool:
    """Whether a start leaves any place of the frame without a state: seen here, so that the device need not say."""
    return start.flow is not None and int(start.flow.valid.min()) < 255


def _blended(sent: Sequence[_Sent], content: Tensor) -> tuple[Tensor, Tensor]:
    """The mean of all starts, with the detail that they have, and where any is valid."""
    several = len(sent) > 1
    trust, valid = torch.zeros_like(content[:, :1]), torch.zeros_like(content[:, :1])
    total = content.new_zeros((1, 5 if several else 3, *content.shape[-2:]))
    for one in sent:
        found, own = _fetched(one, detailed=several)
        share = one.weight * own
        total.addcmul_(found, share)
        trust += share
        valid = torch.maximum(valid, own)
    total /= trust.clamp_(min=LEAST_TRUST)
    return (raise_detail(total[:, :3], total[:, 3:]) if several else total), valid


def _fetched(one: _Sent, *, detailed: bool) -> tuple[Tensor, Tensor]:
    """A start's state on the frame's grid, its contrast in two more channels, and where it is valid."""
    state = planes_of(one.state)
    if detailed:
        state = torch.cat([state, contrast(state)], dim=1)
    at = one.places(*state.shape[-2:])
    if at is None:
        return state, torch.ones_like(state[:, :1])
    return fetch(state, at), at.valid
