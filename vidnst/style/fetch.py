"""Finding VGG19's weights on this machine, and fetching them when they are nowhere."""

import os
from pathlib import Path
from typing import Literal

from vidnst.checkpoint import Checkpoint, Progress, cached, checksum_start, find_checkpoint

URL = "https://download.pytorch.org/models/vgg19-dcbb9e9d.pth"
"""torchvision's VGG19_Weights.IMAGENET1K_V1, 548 MB."""
ENVIRONMENT = "VIDNST_WEIGHTS"

_SHA256_START = checksum_start(URL)
_CHECKPOINT = Checkpoint(
    network="VGG19",
    option="--weights",
    environment=ENVIRONMENT,
    urls=(URL,),
    largest_bytes=2**30,
    remedy=f"give --weights a file that has VGG19's features, set {ENVIRONMENT} to one, put {URL} there by hand, "
    "or take --weights random, which needs no file",
)


def cached_path() -> Path:
    """Where torch keeps its copy: `$TORCH_HOME/hub/checkpoints`, else below `$XDG_CACHE_HOME` or `~/.cache`."""
    return cached(URL)


def resolve_weights(
    spec: str | None, *, download: bool = True, on_progress: Progress | None = None
) -> Path | Literal["random"]:
    """The file that a configuration's `model.weights` stands for.

    In this order: `spec` itself; the environment variable VIDNST_WEIGHTS; torch's cache; a download into torch's
    cache. `random`, in either of the first two, stands for seeded random filters and is given back as it is.

    Args:
        spec: a path, `random`, or None.
        download: whether fetching is allowed.
        on_progress: told how the download gets on.

    Raises:
        WeightsError: there is no such file, or none anywhere; names the places that were tried.
    """
    if (spec or os.environ.get(ENVIRONMENT)) == "random":
        return "random"
    return find_checkpoint(_CHECKPOINT, spec, download=download, on_progress=on_progress, sha256_start=_SHA256_START)
