"""Changing light and static areas on a device, as OpenCV and NumPy have them."""

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from vidnst.frames import Pixels, State
from vidnst.motion import blend as on_cpu
from vidnst.motion.blend import WarmSource, blend
from vidnst.motion.flow import Flow
from vidnst.motion.gpu import light
from vidnst.motion.gpu.blend import blend_on_device
from vidnst.motion.gpu.upload import upload

HEIGHT, WIDTH = 120, 160
CPU = torch.device("cpu")
LEVEL = 1 / 65535
"""One level of a state."""


def textured(seed: int, gain: float = 1.0, offset: float = 0.0) -> NDArray[np.float32]:
    noise = np.random.default_rng(seed).normal(0, 1, (HEIGHT, WIDTH, 3)).astype(np.float32)
    broad = cv2.GaussianBlur(noise, (0, 0), 6.0)
    picture = 0.45 + 0.12 * broad / broad.std() + 0.02 * cv2.GaussianBlur(noise, (0, 0), 1.5)
    return np.clip(picture * gain + offset, 0, 1).astype(np.float32)


def frame(seed: int, gain: float = 1.0, offset: float = 0.0) -> Pixels:
    return np.rint(textured(seed, gain, offset) * 255).astype(np.uint8)


def state(seed: int, offset: float = 0.0) -> State:
    return np.rint(textured(seed, 1.0, offset) * 65535).astype(np.uint16)


def lattice(seed: int) -> Flow:
    """A smooth field of multiples of 1/32 of a pixel, which OpenCV does not round, with gaps."""
    random = np.random.default_rng(seed)
    vectors = cv2.resize(random.normal(0, 2, (4, 5, 2)).astype(np.float32), (WIDTH, HEIGHT))
    valid = cv2.resize(random.uniform(0, 1, (6, 8)).astype(np.float32), (WIDTH, HEIGHT)) < 0.7
    return Flow((np.rint(vectors * 32) / 32).astype(np.float32), valid.astype(np.uint8) * np.uint8(255))


CONTENT = frame(1, 1.05, 0.02)
DIM = WarmSource(state(11, -0.05), lattice(21), 1.0, frame(1, 0.9))
BRIGHT = WarmSource(state(12, 0.08), lattice(22), 0.5, frame(1, 1.1, 0.05))
OWN = WarmSource(state(13), None, 0.7, CONTENT)
CASES: dict[str, list[WarmSource]] = {
    "one": [DIM],
    "one in the same light": [replace(DIM, source=CONTENT)],
    "two in different lights": [DIM, BRIGHT],
    "two in one light": [DIM, replace(BRIGHT, source=DIM.source)],
    "its own among others": [DIM, OWN, BRIGHT],
}
OPTIONS = [(True, 0.0), (False, 2.0), (True, 2.0)]


def planes(pixels: Pixels) -> NDArray[np.float32]:
    return np.ascontiguousarray(pixels.transpose(2, 0, 1)).astype(np.float32) / np.float32(255)


def lumas(*frames: Pixels) -> tuple[list[NDArray[np.float32]], list[Tensor]]:
    arrays = [on_cpu.luma_of_planes(planes(one)) for one in frames]
    return arrays, [torch.from_numpy(array)[None, None] for array in arrays]


def compare(found: Tensor | None, wanted: NDArray[np.float32] | None) -> None:
    """Equal within two levels of a state, but for a few pixels at a threshold."""
    assert (found is None) == (wanted is None)
    if found is not None and wanted is not None:
        off = np.abs(found[0].numpy().reshape(wanted.shape) - wanted)
        assert np.quantile(off, 0.999) < 2 * LEVEL
        assert off.mean() < LEVEL


def check_blend(starts: Sequence[WarmSource], *, follow_light: bool, static_levels: float) -> None:
    wanted = blend(CONTENT, starts, follow_light=follow_light, static_levels=static_levels)
    found = blend_on_device(upload(CONTENT, CPU), starts, follow_light=follow_light, static_levels=static_levels)
    compare(found.picture, wanted.picture)
    compare(found.valid, wanted.valid)
    compare(found.luma_change, wanted.luma_change)
    compare(found.static, wanted.static)
    compare(found.warped_source, wanted.warped_source)


@pytest.mark.parametrize(("follow_light", "static_levels"), OPTIONS)
@pytest.mark.parametrize("name", CASES)
def test_light_equals_the_cpu(name: str, follow_light: bool, static_levels: float) -> None:
    check_blend(CASES[name], follow_light=follow_light, static_levels=static_levels)


def test_cases_have_all_answers() -> None:
    """Some states can be relit, others cannot, and parts of some frames are static."""
    found = {name: blend(CONTENT, starts, follow_light=True, static_levels=2.0) for name, starts in CASES.items()}
    assert found["one"].warped_source is not None
    assert found["two in different lights"].warped_source is None
    static = found["one in the same light"].static
    assert static is not None
    assert static.mean() > 0.05


@pytest.mark.parametrize("ignore_light", [False, True])
def test_static_areas_equal_the_cpu(ignore_light: bool) -> None:
    moved = np.where(np.arange(WIDTH)[None, :, None] < WIDTH // 2, frame(1, 0.95, 0.01), frame(2))
    (own, earlier), tensors = lumas(frame(1), moved)
    options = {"threshold_levels": 3.0, "ignore_light": ignore_light}
    wanted = on_cpu.static_areas(own, earlier, **options)  # type: ignore[arg-type]
    found = light.static_areas(*tensors, **options)  # type: ignore[arg-type]
    assert 0.02 < wanted.mean() < 0.9
    compare(found[0], wanted[None])


def test_light_is_reproducible_and_leaves_its_inputs() -> None:
    content = upload(CONTENT, CPU)
    before = content.clone()
    one, two = (blend_on_device(content, CASES["its own among others"], follow_light=True) for _ in range(2))
    assert torch.equal(one.picture, two.picture)
    assert torch.equal(content, before)
