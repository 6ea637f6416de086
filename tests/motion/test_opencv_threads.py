"""OpenCV's threads while many threads of this process use it."""

from collections.abc import Iterator

import cv2
import pytest

from vidnst.motion.opencv_threads import set_opencv_threads, single_threaded_opencv


@pytest.fixture(autouse=True)
def three() -> Iterator[None]:
    before = cv2.getNumThreads()
    cv2.setNumThreads(3)
    yield
    cv2.setNumThreads(before)


def test_opencv_is_single_threaded_in_the_block() -> None:
    with single_threaded_opencv():
        assert cv2.getNumThreads() == 1
    assert cv2.getNumThreads() == 3


def test_blocks_may_overlap() -> None:
    first, second = single_threaded_opencv(), single_threaded_opencv()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert cv2.getNumThreads() == 1
    second.__exit__(None, None, None)
    assert cv2.getNumThreads() == 3


def test_thread_count_set_inside_holds_afterwards() -> None:
    with single_threaded_opencv():
        set_opencv_threads(2)
        assert cv2.getNumThreads() == 1
    assert cv2.getNumThreads() == 2
