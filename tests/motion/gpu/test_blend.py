"""Where a warm frame begins on a device: as on the CPU, without a wait, the same every time."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from support.other_device import other_device
from torch.utils._python_dispatch import TorchDispatchMode

from vidnst.frames import Pixels, State, to_16_bits
from vidnst.motion.blend import WarmSource, blend
from vidnst.motion.flow import Flow
from vidnst.motion.gpu.blend import BlendedTensors, blend_on_device, blend_uploaded, upload_source
from vidnst.motion.gpu.upload import upload

HEIGHT, WIDTH = 120, 160
CPU = torch.device("cpu")

LATTICE = 1e-5
"""Largest difference where OpenCV rounds no place: what is left is the rounding of float32."""
MEAN, MOST = 5e-4, 1.0 / 255
"""Where it rounds them to 1/32 of a pixel, 1/128 off on average: mean difference, and that of all pixels but one in a
thousand. These strokes change by 0.032 from one pixel to the next, and by up to 0.19."""


def strokes(seed: int) -> State:
    noise = np.random.default_rng(seed).normal(0, 1, (HEIGHT, WIDTH, 3)).astype(np.float32)
    soft = cv2.GaussianBlur(noise, (0, 0), 1.5)
    broad = cv2.GaussianBlur(noise, (0, 0), 8.0)
    picture = 0.5 + 0.08 * soft / soft.std() + 0.15 * broad / broad.std()
    return np.asarray(np.rint(np.clip(picture, 0, 1) * 65535), np.uint16)


def scene(bits: int = 8) -> Pixels:
    state = strokes(100)
    return state if bits == 16 else (state >> 8).astype(np.uint8)


def flow(seed: int, *, shrink: int = 1, share: float = 0.85, lattice: bool = False) -> Flow:
    """A smooth field with holes; on a lattice its vectors are whole multiples of 1/32 of a pixel."""
    random, size = np.random.default_rng(seed), (WIDTH // shrink, HEIGHT // shrink)
    coarse = random.normal(0, 4 / shrink, (4, 5, 2)).astype(np.float32)
    vectors = np.asarray(cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC), np.float32)
    seen = cv2.resize(random.uniform(0, 1, (6, 8)).astype(np.float32), size, interpolation=cv2.INTER_CUBIC)
    valid = np.zeros(seen.shape, np.uint8) if share == 0 else (seen <= np.quantile(seen, share)).astype(np.uint8) * 255
    return Flow((np.rint(vectors * 32) / 32).astype(np.float32) if lattice else vectors, valid.astype(np.uint8))


ONE = WarmSource(strokes(1), flow(1))
TWO = WarmSource(strokes(2), flow(2), 0.25)
SMALL = WarmSource(strokes(3), flow(3, shrink=3), 0.5)
OWN = WarmSource(strokes(4), None, 0.7)
NOTHING, EVERYTHING = flow(5, share=0), flow(6, share=1)
CASES: dict[str, list[WarmSource]] = {
    "one": [ONE],
    "two": [ONE, TWO],
    "three": [ONE, TWO, SMALL],
    "its own": [OWN],
    "its own among others": [TWO, OWN, SMALL],
    "a small flow": [SMALL],
    "nothing valid": [replace(ONE, flow=NOTHING)],
    "nothing valid twice": [replace(ONE, flow=NOTHING), replace(TWO, flow=NOTHING)],
    "everything valid": [replace(ONE, flow=EVERYTHING)],
    "everything valid in one of two": [replace(ONE, flow=EVERYTHING), TWO],
}


def differences(content: Pixels, starts: Sequence[WarmSource]) -> NDArray[np.float32]:
    wanted, found = blend(content, starts), blend_on_device(upload(content, CPU), starts)
    assert found.picture.shape == (1, 3, HEIGHT, WIDTH)
    assert 0 <= found.picture.min() <= found.picture.max() <= 1
    np.testing.assert_allclose(found.valid[0, 0].numpy(), wanted.valid, rtol=0, atol=2e-5)
    assert np.abs(wanted.picture - 0.5).mean() > 0.05  # there is something to differ in
    return np.abs(found.picture[0].numpy() - wanted.picture)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("name", CASES)
def test_blend_equals_the_cpu(name: str, bits: int) -> None:
    off = differences(scene(bits), CASES[name])
    assert off.mean() < MEAN
    assert np.quantile(off, 0.999) < MOST


@pytest.mark.parametrize("count", [1, 2, 3])
def test_blend_equals_the_cpu_at_unrounded_positions(count: int) -> None:
    starts = [WarmSource(strokes(number), flow(number, lattice=True), 1 / number) for number in range(1, count + 1)]
    assert differences(scene(), starts).max() < LATTICE


def test_own_state_is_not_warped() -> None:
    found = blend_on_device(upload(scene(), CPU), [WarmSource(OWN.state)])
    assert torch.equal(found.picture, upload(OWN.state, CPU))
    assert (found.valid == 1).all()


def test_content_is_unchanged_without_valid_states() -> None:
    found = blend_on_device(upload(scene(), CPU), CASES["nothing valid"])
    assert torch.allclose(found.picture, upload(scene(), CPU), atol=1e-6)
    assert not found.valid.any()


class Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Fails on what waits for a GPU, on what it does in no fixed order, and on what rounds to TF32."""

    FORBIDDEN = frozenset(
        {
            "_local_scalar_dense",
            "item",
            "nonzero",
            "masked_select",
            "equal",
            "is_nonzero",
            "index",
            "unique",
            "_unique2",
        }
        | {
            "cumsum",
            "scatter_add",
            "scatter_add_",
            "index_add",
            "index_add_",
            "index_put_",
            "put_",
            "histc",
            "bincount",
        }
        | {"convolution", "_convolution", "mm", "bmm", "addmm", "baddbmm", "linalg_solve", "_linalg_solve_ex"}
    )

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        assert name not in self.FORBIDDEN, name
        return func(*args, **(kwargs or {}))


def test_watch_detects_synchronisation() -> None:
    ones = torch.ones(3)
    for waiting in (lambda: ones.sum().item(), lambda: bool(ones.any()), lambda: ones[ones > 0]):
        with pytest.raises(AssertionError), Watch():  # type: ignore[no-untyped-call]
            waiting()


@pytest.mark.parametrize("name", CASES)
def test_blend_never_synchronises(name: str) -> None:
    content = upload(scene(), CPU)
    with Watch():  # type: ignore[no-untyped-call]
        blend_on_device(content, CASES[name])


@pytest.mark.parametrize("name", CASES)
def test_blend_runs_on_the_meta_device(name: str) -> None:
    """Tensors without values have nothing that could be asked for, so whatever asks raises an error."""
    meta = torch.device("meta")
    found = blend_on_device(upload(scene(), meta), CASES[name])
    assert found.picture.device == found.valid.device == meta
    assert found.picture.shape == (1, 3, HEIGHT, WIDTH)
    assert found.valid.shape == (1, 1, HEIGHT, WIDTH)


def as_bytes(found: BlendedTensors) -> bytes:
    return found.picture.cpu().numpy().tobytes() + found.valid.cpu().numpy().tobytes()


@pytest.mark.parametrize("name", CASES)
def test_blend_is_reproducible(name: str) -> None:
    assert len({as_bytes(blend_on_device(upload(scene(), CPU), CASES[name])) for _ in range(2)}) == 1


def test_inputs_are_not_modified() -> None:
    content = upload(scene(), CPU)
    starts = [WarmSource(start.state.copy(), start.flow, start.weight) for start in CASES["its own among others"]]
    before = content.clone(), [start.state.copy() for start in starts]
    blend_on_device(content, starts)
    assert torch.equal(content, before[0])
    for start, state in zip(starts, before[1], strict=True):
        np.testing.assert_array_equal(start.state, state)


@contextmanager
def without_waits() -> Iterator[None]:
    """Torch refuses to wait for the GPU."""
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.cuda
@pytest.mark.filterwarnings("ignore:Synchronization debug mode")  # which is a prototype
@pytest.mark.parametrize("name", CASES)
def test_gpu_blend_equals_the_cpu_without_synchronising(name: str) -> None:
    if not torch.cuda.is_available():
        pytest.skip("needs an NVIDIA GPU")
    content, starts = upload(scene(), torch.device("cuda")), CASES[name]
    sent = [upload_source(start, content.device) for start in starts]
    with without_waits():
        found = [blend_uploaded(content, sent) for _ in range(2)]
    assert as_bytes(found[0]) == as_bytes(found[1])
    here = blend_on_device(upload(scene(), CPU), starts)
    assert (found[0].picture.cpu() - here.picture).abs().max() < 10 * LATTICE
    assert (found[0].valid.cpu() - here.valid).abs().max() < 2e-5


@pytest.mark.parametrize("name", CASES)
def test_blend_leaves_no_tensor_on_the_cpu(name: str) -> None:
    here = blend_on_device(upload(scene(), CPU), CASES[name])
    with other_device() as device:
        there = blend_on_device(upload(scene(), device), CASES[name])
        assert there.picture.device == there.valid.device == device
        assert (there.picture.cpu() - here.picture).abs().max() < 10 * LATTICE
        assert (there.valid.cpu() - here.valid).abs().max() < 2e-5


def test_8_and_16_bit_contents_blend_alike() -> None:
    narrow, wide = scene(), to_16_bits(scene())
    one, other = (blend_on_device(upload(pixels, CPU), [ONE]).picture for pixels in (narrow, wide))
    assert torch.allclose(one, other, atol=1e-6)
