"""The reproducible mode, which is one for all threads of a process."""

import threading

import pytest
import torch

from vidnst.devices.determinism import reproducible_mode


def test_mode_lasts_until_last_thread_leaves() -> None:
    cudnn = torch.backends.cudnn
    before = cudnn.deterministic, cudnn.benchmark
    inside, leave = threading.Event(), threading.Event()

    def other() -> None:
        with reproducible_mode():
            inside.set()
            leave.wait(10)

    thread = threading.Thread(target=other)
    with reproducible_mode():
        thread.start()
        assert inside.wait(10)
    assert (cudnn.deterministic, cudnn.benchmark) == (True, False)
    leave.set()
    thread.join()
    assert (cudnn.deterministic, cudnn.benchmark) == before


def test_mode_is_restored_after_error() -> None:
    before = torch.backends.cudnn.deterministic
    with pytest.raises(ZeroDivisionError), reproducible_mode():
        _ = 1 / 0
    assert torch.backends.cudnn.deterministic == before


@pytest.mark.parametrize("chosen", ["highest", "high"])
def test_float32_is_not_rounded_to_tf32_inside(chosen: str) -> None:
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision(chosen)
    torch.backends.cudnn.allow_tf32 = True
    try:
        with reproducible_mode():
            assert not torch.backends.cudnn.allow_tf32
            assert not torch.backends.cuda.matmul.allow_tf32
            assert torch.get_float32_matmul_precision() == "highest"
        assert torch.backends.cudnn.allow_tf32
        assert torch.get_float32_matmul_precision() == chosen
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]
