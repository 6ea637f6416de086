"""cuDNN's mode, which is one for all threads of a process."""

import threading

import pytest
import torch

from vidnst.determinism import deterministic_cudnn


def test_mode_lasts_until_last_thread_leaves() -> None:
    cudnn = torch.backends.cudnn
    before = cudnn.deterministic, cudnn.benchmark
    inside, leave = threading.Event(), threading.Event()

    def other() -> None:
        with deterministic_cudnn():
            inside.set()
            leave.wait(10)

    thread = threading.Thread(target=other)
    with deterministic_cudnn():
        thread.start()
        assert inside.wait(10)
    assert (cudnn.deterministic, cudnn.benchmark) == (True, False)
    leave.set()
    thread.join()
    assert (cudnn.deterministic, cudnn.benchmark) == before


def test_mode_is_restored_after_error() -> None:
    before = torch.backends.cudnn.deterministic
    with pytest.raises(ZeroDivisionError), deterministic_cudnn():
        _ = 1 / 0
    assert torch.backends.cudnn.deterministic == before
