"""Flows one after the other: from a frame over another one to a third."""

import cv2
import numpy as np
from numpy.typing import NDArray

from vidnst.motion.flow import Flow, FlowPair, sampling_grid

_WHOLE = 254
"""Validity, of 255, that a sampled place must have: next to something invalid it is not trusted."""


def compose_pairs(first: FlowPair, second: FlowPair) -> FlowPair:
    """The flows between the outer two of three frames.

    Args:
        first: between the frame and the middle one.
        second: between the middle one and the reference.
    """
    return FlowPair(compose(first.forward, second.forward), compose(second.backward, first.backward))


def compose(first: Flow, second: Flow) -> Flow:
    """The flow that goes along `first` and from where that ends along `second`.

    Args:
        first: from the frame into the middle one.
        second: from the middle one into the reference, of the same size.

    Returns:
        From the frame into the reference; valid where both are.
    """
    x, y = sampling_grid(first.vectors_px)
    onward = cv2.remap(second.vectors_px, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    valid = cv2.remap(second.valid, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=0)
    both = (first.valid == 255) & (valid >= _WHOLE)
    vectors_px: NDArray[np.float32] = first.vectors_px + onward
    return Flow(vectors_px, both.astype(np.uint8) * np.uint8(255))
