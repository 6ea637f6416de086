"""Each piece of the blending on a device against its OpenCV or NumPy twin."""

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from vidnst.frames import to_float_planes
from vidnst.motion import detail_gain, disocclusion, warp
from vidnst.motion.flow import Flow
from vidnst.motion.gpu.detail_gain import (
    band_contrast,
    blend_attenuation,
    box_mean,
    gaussian_blur,
    mirror_pad,
    restore_detail,
)
from vidnst.motion.gpu.disocclusion import fit_colours, match_colours, solve
from vidnst.motion.gpu.upload import to_device, upload
from vidnst.motion.gpu.warp import DeviceGrid, warp_planes

HEIGHT, WIDTH = 45, 70
CPU = torch.device("cpu")


def noise(seed: int, *, channels: int = 3, height: int = HEIGHT, width: int = WIDTH) -> NDArray[np.float32]:
    return np.random.default_rng(seed).uniform(0, 1, (channels, height, width)).astype(np.float32)


def tensor(array: NDArray[np.float32]) -> Tensor:
    return torch.from_numpy(array)[None]


def near(found: Tensor, wanted: NDArray[np.float32], *, by: float) -> None:
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found[0].numpy(), wanted, rtol=0, atol=by)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_upload_equals_the_cpu_at_every_level(dtype: type) -> None:
    levels: NDArray[np.uint16] = np.arange(np.iinfo(dtype).max + 1, dtype=dtype)
    pixels = np.stack([levels, levels[::-1], np.roll(levels, 7)], axis=-1).reshape(16, -1, 3)
    assert upload(pixels, CPU)[0].numpy().tobytes() == to_float_planes(pixels).tobytes()


def test_read_only_arrays_and_views_can_be_uploaded() -> None:
    pixels = np.random.default_rng(0).integers(0, 65535, (6, 8, 3), np.uint16)
    pixels.flags.writeable = False
    for shown in (pixels, pixels[:, ::-1], pixels[::2, 1:]):
        np.testing.assert_array_equal(to_device(shown, CPU).numpy().view(np.uint16), shown)
    assert upload(pixels[:, ::-1], CPU)[0].numpy().tobytes() == to_float_planes(pixels[:, ::-1]).tobytes()


def wavy(height: int, width: int, amplitude_px: float = 3.0) -> NDArray[np.float32]:
    coarse = np.random.default_rng(3).normal(0, amplitude_px, (4, 5, 2)).astype(np.float32)
    return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), np.float32)


@pytest.mark.parametrize("size", [(HEIGHT, WIDTH), (23, 36), (9, 14), (60, 93)])
def test_grid_equals_opencv_for_any_flow_size(size: tuple[int, int]) -> None:
    trusted = (np.random.default_rng(4).uniform(0, 1, size) > 0.2).astype(np.uint8) * np.uint8(255)
    flow = Flow(wavy(*size), trusted)
    wanted = warp.SamplingGrid.from_flow(flow, HEIGHT, WIDTH)
    found = DeviceGrid.from_flow(to_device(flow.vectors_px, CPU), to_device(flow.valid, CPU), HEIGHT, WIDTH)
    at = (found.positions[0] + 1) * torch.tensor([WIDTH, HEIGHT]) / 2 - 0.5
    np.testing.assert_allclose(at[..., 0].numpy(), wanted.x, rtol=0, atol=1e-4)
    np.testing.assert_allclose(at[..., 1].numpy(), wanted.y, rtol=0, atol=1e-4)
    np.testing.assert_allclose(found.valid[0, 0].numpy(), wanted.valid, rtol=0, atol=2e-5)


@pytest.mark.parametrize("amplitude_px", [1.0, 60.0])
def test_warp_equals_opencv_at_unrounded_positions(amplitude_px: float) -> None:
    """Also beyond the borders, where the larger of the two points; OpenCV knows places to 1/32 of a pixel."""
    vectors = (np.rint(wavy(HEIGHT, WIDTH, amplitude_px) * 32) / 32).astype(np.float32)
    flow = Flow(vectors, np.full((HEIGHT, WIDTH), 255, np.uint8))
    picture = noise(5)
    found = warp_planes(
        tensor(picture), DeviceGrid.from_flow(to_device(vectors, CPU), to_device(flow.valid, CPU), HEIGHT, WIDTH)
    )
    near(found, warp.warp_planes(picture, warp.SamplingGrid.from_flow(flow, HEIGHT, WIDTH)), by=5e-5)


@pytest.mark.parametrize("size", [(HEIGHT, WIDTH), (5, 40), (2, 3), (1, 4)])
@pytest.mark.parametrize("deviation_px", [1.0, 2.0])
def test_gaussian_blur_equals_opencv(deviation_px: float, size: tuple[int, int]) -> None:
    """Its kernel is wider than the smaller pictures: their mirror images repeat."""
    picture = noise(6, height=size[0], width=size[1])
    wanted = np.stack([cv2.GaussianBlur(plane, (0, 0), deviation_px) for plane in picture])
    near(gaussian_blur(tensor(picture), deviation_px), wanted, by=1e-6)


@pytest.mark.parametrize("side", [1, 3, 7, 9, 21, 155])
def test_box_mean_equals_opencv(side: int) -> None:
    maps = noise(7, channels=2)
    near(box_mean(tensor(maps), side), np.stack([cv2.blur(plane, (side, side)) for plane in maps]), by=1e-6)


def test_mirror_pad_does_not_repeat_the_edge() -> None:
    assert mirror_pad(torch.arange(4.0), 5, 0).tolist() == [1, 2, 3, 2, 1, 0, 1, 2, 3, 2, 1, 0, 1, 2]


def test_band_contrast_equals_the_cpu() -> None:
    picture = noise(8)
    near(band_contrast(tensor(picture)), detail_gain.band_contrast(picture), by=1e-6)


def test_restore_detail_equals_the_cpu() -> None:
    sharp = noise(9)
    soft = np.stack([cv2.GaussianBlur(plane, (0, 0), 0.7) for plane in sharp])
    wanted = detail_gain.band_contrast(sharp)
    most = np.broadcast_to(np.linspace(1, 1.7, soft.shape[2], dtype=np.float32), soft.shape[1:]).copy()
    raised = detail_gain.restore_detail(soft, wanted, most)
    assert np.abs(raised - soft).mean() > 0.01
    near(restore_detail(tensor(soft), tensor(wanted), tensor(most[None])), raised, by=2e-5)


def test_blend_attenuation_equals_the_cpu() -> None:
    first = noise(14, channels=1)
    shares = np.concatenate([first, 1 - first])
    found = blend_attenuation(tensor(np.square(shares).sum(axis=0, keepdims=True)), 2)
    near(found, detail_gain.blend_attenuation(list(shares))[None], by=1e-6)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.6, 1.0])
@pytest.mark.parametrize("grey", [False, True])
def test_match_colours_equals_the_cpu(share: float, grey: bool) -> None:
    content = noise(10, height=180, width=240)  # more pixels than are looked at
    if grey:
        content[:] = content[:1]
    stylized = np.clip(1 - 0.7 * content[[1, 2, 0]] + 0.05 * noise(11, height=180, width=240), 0, 1)
    valid = (noise(12, channels=1, height=180, width=240)[0] < share).astype(np.float32)
    inputs = (tensor(content), tensor(stylized), tensor(valid[None]))
    np.testing.assert_allclose(
        fit_colours(*inputs).numpy(), disocclusion.fit_colours(content, stylized, valid), atol=1e-5
    )
    near(match_colours(*inputs), disocclusion.match_colours(content, stylized, valid), by=2e-5)


def test_equations_are_solved() -> None:
    random = np.random.default_rng(13)
    basis = random.normal(0, 1, (4, 40)) * np.array([[1], [10], [0.1], [3]])
    left, right = basis @ basis.T, random.normal(0, 1, (4, 3))
    found = solve(torch.from_numpy(np.concatenate([left, right], axis=1)))
    np.testing.assert_allclose(found.numpy(), np.linalg.solve(left, right), rtol=1e-9)
