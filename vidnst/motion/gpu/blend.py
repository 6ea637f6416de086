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
from vidnst.motion.gpu.light import WarpedTensors, luma, relight, smooth_change, static_areas
from vidnst.motion.gpu.upload import to_device, to_float_planes
from vidnst.motion.gpu.warp import DeviceGrid, warp_planes


@dataclass(frozen=True, slots=True)
class BlendedTensors:
    """The picture that a warm frame starts from and is pulled toward, on its device."""

    picture: Tensor
    """`(1, 3, H, W)` float32 in [0, 1]."""
    valid: Tensor
    """`(1, 1, H, W)` float32 in [0, 1]: 1 where the picture comes from states, 0 where from recoloured content."""
    luma_change: Tensor | None = None
    """`(1, 1, H, W)`: the frame's luma minus that of the warped sources."""
    static: Tensor | None = None
    """`(1, 1, H, W)` in [0, 1]: 1 where the source does not move."""
    warped_source: Tensor | None = None
    """`(1, 3, H, W)`: the warped sources, if the states could not be relit; None if the picture has the frame's
    light."""


@dataclass(frozen=True, slots=True)
class UploadedSource:
    """A `WarmSource` whose arrays are on a device."""

    state: Tensor
    """`(H, W, 3)` int16, the bits of uint16."""
    vectors_px: Tensor | None
    valid: Tensor | None
    weight: float
    has_gaps: bool
    """True if the flow is invalid anywhere; known before the upload, so that nobody waits for the device to tell."""
    source: Tensor | None = None
    """The state's frame before stylization, `(H, W, 3)`; None if it is not needed."""


def upload_source(source: WarmSource, device: torch.device, *, with_frame: bool = False) -> UploadedSource:
    """Copy a state and its flow to a device, and its frame if that is wanted."""
    state, flow = to_device(source.state, device), source.flow
    if flow is None:
        return UploadedSource(state, None, None, source.weight, has_gaps=False)
    has_gaps = int(flow.valid.min()) < 255
    vectors_px, valid = to_device(flow.vectors_px, device), to_device(flow.valid, device)
    frame = to_device(source.source, device) if with_frame and source.source is not None else None
    return UploadedSource(state, vectors_px, valid, source.weight, has_gaps, frame)


def blend_on_device(
    content: Tensor, sources: Sequence[WarmSource], *, follow_light: bool = False, static_levels: float = 0.0
) -> BlendedTensors:
    """Warp states to a frame and blend them by weight and validity; recoloured content fills what none covers.

    Equal to `motion.blend.blend`, except that OpenCV rounds positions to 1/32 of a pixel.

    Args:
        content: `(1, 3, H, W)` float32 in [0, 1], the frame to be stylized, on the device to compute on.
        sources: at least one.
        follow_light, static_levels: see `motion.blend.blend`; the first has to wait for the device once.
    """
    lit = follow_light or static_levels > 0
    uploaded = [upload_source(source, content.device, with_frame=lit) for source in sources]
    if not lit:
        return blend_uploaded(content, uploaded)
    return _blend_lit(content, uploaded, follow_light=follow_light, static_levels=static_levels)


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


def _blend_lit(
    content: Tensor, sources: Sequence[UploadedSource], *, follow_light: bool, static_levels: float
) -> BlendedTensors:
    """Blend states that follow the light, or whose static areas are not warped."""
    several = len(sources) > 1
    states = [
        _warp_lit(source, content, with_contrast=several, follow_light=follow_light, static_levels=static_levels)
        for source in sources
    ]
    relit = True
    if follow_light:
        states, relit = relight(states)
    shares = [source.weight * state.valid for source, state in zip(sources, states, strict=True)]
    total = torch.stack(shares).sum(dim=0).clamp_(min=MIN_TOTAL_SHARE)
    shares = [share / total for share in shares]
    blended = _weighted_mean([state.picture for state in states], shares)
    valid = torch.stack([state.valid for state in states]).amax(dim=0)
    if several:
        contrast = _weighted_mean([state.contrast for state in states if state.contrast is not None], shares)
        squares = torch.stack(shares).square().sum(dim=0)
        blended = restore_detail(blended, contrast, blend_attenuation(squares, len(shares)))
    if all(source.has_gaps for source in sources):
        blended = torch.lerp(match_colours(content, blended, valid), blended, valid)
    changes = [state.luma_change for state in states if state.luma_change is not None]
    static = [state.static for state in states if state.static is not None]
    frames = [state.source for state in states if state.source is not None]
    return BlendedTensors(
        blended,
        valid,
        luma_change=_weighted_mean(changes, shares) if follow_light else None,
        static=torch.stack(static).amin(dim=0) if static else None,
        warped_source=None if relit else _weighted_mean(frames, shares),
    )


def _warp_lit(
    source: UploadedSource, content: Tensor, *, with_contrast: bool, follow_light: bool, static_levels: float
) -> WarpedTensors:
    """Warp a state with its contrast and its source to the frame's grid."""
    state = to_float_planes(source.state)
    contrast = band_contrast(state) if with_contrast else None
    if source.vectors_px is None or source.valid is None:
        ones = torch.ones_like(state[:, :1])
        return WarpedTensors(state, ones, contrast, luma_change=torch.zeros_like(ones), source=content)
    grid = DeviceGrid.from_flow(source.vectors_px, source.valid, *state.shape[-2:])
    valid = box_mean(grid.valid, BORDER_WINDOW_PX).mul_(2).sub_(1).clamp_(0, 1)
    contrast = None if contrast is None else warp_planes(contrast, grid)
    picture = warp_planes(state, grid)
    if source.source is None:
        return WarpedTensors(picture, valid, contrast)
    frame, own, static = to_float_planes(source.source), luma(content), None
    if static_levels:
        static = static_areas(own, luma(frame), threshold_levels=static_levels, ignore_light=follow_light)
        picture, valid = torch.lerp(picture, state, static), torch.maximum(valid, static)
    if not follow_light:
        return WarpedTensors(picture, valid, contrast, static=static)
    warped = warp_planes(frame, grid)
    warped = warped if static is None else torch.lerp(warped, frame, static)
    return WarpedTensors(picture, valid, contrast, smooth_change(own, warped), static, warped)


def _weighted_mean(values: Sequence[Tensor], shares: Sequence[Tensor]) -> Tensor:
    total = values[0] * shares[0]
    for value, share in zip(values[1:], shares[1:], strict=True):
        total.addcmul_(value, share)
    return total
