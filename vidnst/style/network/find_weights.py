"""Finding a backbone's weights: slim's come with the package, VGG19's are looked for, and fetched if need be."""

import os
from pathlib import Path
from typing import Literal

from vidnst.errors import WeightsError
from vidnst.weights_file import ByteProgress, Checkpoint, cached, checksum_start, find_checkpoint

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
    "or go on without it: --backbone slim comes with vidnst, --weights random needs no file either",
)

SLIM_FILE = Path(__file__).with_name("slim.safetensors")
"""The smaller network that comes with the package."""


def cached_path() -> Path:
    """Where torch keeps its copy: `$TORCH_HOME/hub/checkpoints`, else below `$XDG_CACHE_HOME` or `~/.cache`."""
    return cached(URL)


def resolve_weights(
    spec: str | None, *, backbone: str = "vgg19", download: bool = True, on_progress: ByteProgress | None = None
) -> Path | Literal["random"]:
    """The file that a configuration's `model.weights` stands for.

    Of vgg19, in this order: `spec` itself; the environment variable VIDNST_WEIGHTS; torch's cache; a download into
    torch's cache. `random`, in either of the first two, stands for seeded random filters and is given back as it is.
    Of slim: `spec` itself, or else the file that comes with the package; the environment variable names VGG19's.

    Args:
        spec: a path, `random`, or None.
        backbone: `vgg19` or `slim`.
        download: whether fetching is allowed.
        on_progress: told how the download gets on.

    Raises:
        WeightsError: there is no such file, or none anywhere; names the places that were tried.
    """
    if backbone == "slim":
        return _slim(spec)
    if (spec or os.environ.get(ENVIRONMENT)) == "random":
        return "random"
    return find_checkpoint(_CHECKPOINT, spec, download=download, on_progress=on_progress, sha256_start=_SHA256_START)


def _slim(spec: str | None) -> Path | Literal["random"]:
    if spec == "random":
        return "random"
    path = SLIM_FILE if spec is None else Path(spec).expanduser()
    if not path.is_file():
        whose = "the installation lacks" if spec is None else "--weights names"
        raise WeightsError(f"{whose} {path}, where there is no file", "reinstall vidnst, or leave --weights out")
    return path
