"""RAFT's flow in vidnst's convention, with a network that knows the answer, and with torchvision's own around it."""

from collections.abc import Sequence

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.optical_flow import RAFT, raft_small
from torchvision.models.optical_flow.raft import CorrBlock

from vidnst.config import MotionConfig
from vidnst.motion.flow import Flow
from vidnst.motion.raft import Raft, build_raft
from vidnst.motion.warp import warp

HEIGHT, WIDTH = 90, 150


def texture(height: int = HEIGHT, width: int = WIDTH, cell: int = 6) -> NDArray[np.uint8]:
    noise = np.random.default_rng(3).integers(0, 256, (-(-height // cell), -(-width // cell), 3), np.uint8)
    return np.asarray(cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


class Known:
    """A network that answers each pair of a batch with a flow that it was given, and remembers what it saw."""

    def __init__(self, flows: Tensor | None = None) -> None:
        self.flows = flows
        self.seen: list[tuple[Tensor, Tensor]] = []

    def __call__(self, one: Tensor, two: Tensor) -> Sequence[Tensor]:
        self.seen.append((one, two))
        height, width = one.shape[-2:]
        y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        where = torch.stack([x, y]).float().expand(2, 2, height, width)
        return [torch.full_like(where, 99), where if self.flows is None else self.flows.expand_as(where)]


def opposite(x_px: float, y_px: float) -> Tensor:
    """`(2, 2, 1, 1)`: a constant flow, and the flow back."""
    return torch.tensor([[x_px, y_px], [-x_px, -y_px]])[..., None, None]


def test_last_flow_of_the_network_is_used() -> None:
    picture = texture()
    there, back = Raft(Known(opposite(-5, 3)), MotionConfig()).estimate_pair(picture, picture)
    assert there.vectors_px.shape == (HEIGHT, WIDTH, 2)
    assert there.vectors_px.dtype == np.float32
    np.testing.assert_array_equal(there.vectors_px, np.broadcast_to((-5, 3), there.vectors_px.shape))
    np.testing.assert_array_equal(back.vectors_px, np.broadcast_to((5, -3), back.vectors_px.shape))
    one = Raft(Known(opposite(-5, 3)), MotionConfig()).estimate_pair(picture, picture).forward
    np.testing.assert_array_equal(one.vectors_px, there.vectors_px)


def test_both_directions_are_one_batch() -> None:
    first, second = texture(128, 136), texture(128, 136)[::-1]
    network = Known()
    Raft(network, MotionConfig()).estimate_pair(first, second)
    ((one, two),) = network.seen
    expected = [torch.from_numpy(p.astype(np.float32).transpose(2, 0, 1) / 127.5 - 1) for p in (first, second)]
    torch.testing.assert_close(one, torch.stack(expected))
    torch.testing.assert_close(two, torch.stack(expected[::-1]))


def test_input_range_for_8_and_16_bits() -> None:
    narrow = texture(128, 128)
    narrow[0, 0], narrow[0, 1] = 0, 255
    networks = Known(), Known()
    for network, frame in zip(networks, (narrow, narrow.astype(np.uint16) * 257), strict=True):
        Raft(network, MotionConfig()).estimate_pair(frame, frame)
    (eight, _), (sixteen, _) = networks[0].seen[0], networks[1].seen[0]
    assert torch.equal(eight, sixteen)
    assert (eight.min(), eight.max()) == (-1, 1)
    assert eight.dtype == torch.float32


@pytest.mark.parametrize(("height", "width"), [(128, 128), (129, 203), (8, 12), (1, 1), (300, 40)])
def test_any_size_is_padded_and_cropped(height: int, width: int) -> None:
    frame = texture(height, width)
    network = Known()
    flow = Raft(network, MotionConfig()).estimate_pair(frame, frame).forward
    ((given, _),) = network.seen
    assert all(side % 8 == 0 and side >= 128 for side in given.shape[-2:])
    assert flow.vectors_px.shape == (height, width, 2)
    # The network answered with the place of each pixel: where the frame lay in what it saw.
    left, top = flow.vectors_px[0, 0].astype(int)
    inside = given[0, :, top : top + height, left : left + width]
    expected = torch.from_numpy(frame.astype(np.float32).transpose(2, 0, 1) / 127.5 - 1)
    torch.testing.assert_close(inside, expected)
    torch.testing.assert_close(given[0, :, 0, 0], expected[:, 0, 0])  # edges go on, nothing dark is invented
    torch.testing.assert_close(given[0, :, -1, -1], expected[:, -1, -1])


def test_large_frames_give_vectors_at_the_reduced_size() -> None:
    frame = texture(360, 640)
    network = Known(opposite(-4, 0))
    flow = Raft(network, MotionConfig(size=320)).estimate_pair(frame, frame).forward
    assert network.seen[0][0].shape[-2:] == (184, 320)
    assert flow.vectors_px.shape == (180, 320, 2)
    assert flow.valid.shape == (180, 320)
    moved = np.roll(frame, 8, axis=1).astype(np.float32) / 255  # moved(p) shows what frame(p - 8) showed
    fetched, _ = warp(frame.astype(np.float32) / 255, flow)
    np.testing.assert_allclose(fetched[:, 16:], moved[:, 16:], atol=1e-5)


def test_vectors_are_trusted_where_the_flow_back_agrees() -> None:
    frame = texture()
    agreed = Raft(Known(opposite(-5, 0)), MotionConfig()).estimate_pair(frame, frame).forward
    assert (agreed.valid[:, 5:] == 255).all()
    assert not agreed.valid[:, :5].any()  # out of the picture
    disagreed = opposite(-5, 0)
    disagreed[1] = 0
    assert not Raft(Known(disagreed), MotionConfig()).estimate_pair(frame, frame).forward.valid.any()
    assert Raft(Known(disagreed), MotionConfig(slack_px=30)).estimate_pair(frame, frame).forward.valid[:, 5:].all()


class Cells(nn.Module):
    """An encoder that describes each cell of 8 pixels by its own picture, zero mean and unit length."""

    def forward(self, image: Tensor) -> Tensor:
        cells = functional.pixel_unshuffle(image, 8)
        return functional.normalize(cells - cells.mean(1, keepdim=True), dim=1) * 14


class Nearest(nn.Module):
    """An update that goes to the most similar cell of the neighbourhood, as the correlations tell it."""

    hidden_state_size = 1

    def forward(self, hidden: Tensor, context: Tensor, correlations: Tensor, flow: Tensor) -> tuple[Tensor, Tensor]:
        best = correlations[:, :81].argmax(1, keepdim=True)  # the finest level: x is the slower of the two offsets
        return hidden, torch.cat([best // 9 - 4, best % 9 - 4], 1).float()


def test_torchvision_flow_points_from_frame_to_reference() -> None:
    """Its convention is ours: with encoders that need no training, a known shift comes out in direction and size."""
    reference = texture(128, 192, cell=2)
    frame = np.roll(reference, (8, 16), axis=(0, 1))  # frame(p) shows what reference(p - (16, 8)) shows
    network = RAFT(
        feature_encoder=Cells(),
        context_encoder=Cells(),
        corr_block=CorrBlock(num_levels=4, radius=4),
        update_block=Nearest(),
    )
    flow, back = Raft(network, MotionConfig()).estimate_pair(frame, reference)
    inside = flow.vectors_px[24:-24, 32:-32]
    np.testing.assert_allclose(np.median(inside, axis=(0, 1)), (-16, -8))
    np.testing.assert_allclose(np.median(back.vectors_px[24:-24, 32:-32], axis=(0, 1)), (16, 8))
    fetched, valid = warp(reference.astype(np.float32) / 255, flow)
    right = np.abs(fetched - frame.astype(np.float32) / 255).max(-1) < 1e-3
    assert right[32:-32, 40:-40].mean() > 0.9
    assert valid[32:-32, 40:-40].mean() > 0.9


@pytest.fixture(scope="module")
def weights() -> dict[str, NDArray[np.float32]]:
    with torch.random.fork_rng():
        torch.manual_seed(5)
        state = raft_small(weights=None).state_dict()
    return {name: tensor.numpy() for name, tensor in state.items() if tensor.is_floating_point()}


def pair_of(weights: dict[str, NDArray[np.float32]], device: str) -> tuple[Flow, Flow]:
    frame = texture(72, 100)
    return Raft(build_raft(weights, device), MotionConfig(), device=device).estimate_pair(
        frame, np.roll(frame, 3, axis=1)
    )


def test_flow_is_reproducible(weights: dict[str, NDArray[np.float32]]) -> None:
    for one, two in zip(pair_of(weights, "cpu"), pair_of(weights, "cpu"), strict=True):
        np.testing.assert_array_equal(one.vectors_px, two.vectors_px)
        np.testing.assert_array_equal(one.valid, two.valid)
        assert np.isfinite(one.vectors_px).all()


def test_correlations_are_freed_after_a_pair(weights: dict[str, NDArray[np.float32]]) -> None:
    network = build_raft(weights)
    Raft(network, MotionConfig()).estimate_pair(texture(), texture())
    assert network.corr_block.corr_pyramid == []


@pytest.mark.cuda
def test_gpu_flow_is_reproducible_and_like_the_cpu(weights: dict[str, NDArray[np.float32]]) -> None:
    if not torch.cuda.is_available():
        pytest.skip("needs an NVIDIA GPU")
    one, two, cpu = (pair_of(weights, device)[0].vectors_px for device in ("cuda", "cuda", "cpu"))
    np.testing.assert_array_equal(one, two)
    assert np.abs(one - cpu).mean() < 0.05 * max(1.0, float(np.abs(cpu).mean()))
