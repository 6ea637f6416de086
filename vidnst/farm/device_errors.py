"""Tells errors that end a GPU's context from all others. Imports no torch: errors are told by their texts.

After such an error every call on the device fails in that process, whatever it computes. So the frame is not to blame,
and only a new process helps.
"""

from vidnst.farm.jobs import DeviceLostError

_MESSAGES = (
    "illegal memory access",
    "illegal address",
    "illegal instruction",
    "misaligned address",
    "invalid program counter",
    "invalid address space",
    "hardware stack error",
    "device-side assert",
    "unspecified launch failure",
    "launch timed out",
    "launch failure",
    "uncorrectable",  # ECC, NVLink
    "ecc error",
    "hardware error",
    "gpu is lost",
    "device is lost",
    "fallen off the bus",
    "cudaerrorlaunchfailure",
    "cuda_error_illegal_address",
    "cuda_error_launch_failed",
    "cuda_error_assert",
    "cuda_error_ecc_uncorrectable",
    "context is destroyed",
    "cublas_status_execution_failed",  # a kernel of the library failed while it ran
    "cudnn_status_execution_failed",
)
"""Parts of the messages of CUDA and its libraries, in lower case."""
_PLACES = ("cuda", "cublas", "cudnn", "nvlink", "gpu", "hip", "device-side")
"""One of these words is in each such message, so that another library's error is not taken for one."""
_MAX_CHARS = 200


def device_loss(error: BaseException) -> DeviceLostError | None:
    """The error to raise instead, if one says that this process can compute nothing more on its GPU; else None.

    Running out of memory is not one: the context stays usable.
    """
    if isinstance(error, DeviceLostError):
        return error
    if not isinstance(error, RuntimeError) or type(error).__name__ == "OutOfMemoryError":
        return None
    text = str(error)
    lower = text.lower()
    if "out of memory" in lower or not any(place in lower for place in _PLACES):
        return None
    if not any(message in lower for message in _MESSAGES):
        return None
    first = next(iter(text.strip().splitlines()), "")[:_MAX_CHARS].rstrip(". ")
    return DeviceLostError(f"the GPU failed: {first}")
