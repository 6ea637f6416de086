"""Finding VGG19's weights on this machine, and fetching them when they are nowhere."""

import hashlib
import http.client
import os
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from vidnst.errors import WeightsError

URL = "https://download.pytorch.org/models/vgg19-dcbb9e9d.pth"
"""torchvision's VGG19_Weights.IMAGENET1K_V1, 548 MB."""
ENVIRONMENT = "VIDNST_WEIGHTS"

_SHA256_START = "dcbb9e9d"
_LARGEST_BYTES = 2**30
_BLOCK_BYTES = 2**20
_TIMEOUT_SECONDS = 30.0
_REMEDY = (
    f"give --weights a file that has VGG19's features, set {ENVIRONMENT} to one, put {URL} there by hand, "
    "or take --weights random, which needs no file"
)

Progress = Callable[[int, int | None], None]
"""Told the bytes that have come, and all that there are where the server says so. May raise to cancel."""


def cached_path() -> Path:
    """Where torch keeps its copy: `$TORCH_HOME/hub/checkpoints`, else below `$XDG_CACHE_HOME` or `~/.cache`."""
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    home = Path(os.environ.get("TORCH_HOME") or Path(cache) / "torch")
    return home.expanduser() / "hub" / "checkpoints" / URL.rpartition("/")[2]


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
    for value, origin in ((spec, "--weights"), (os.environ.get(ENVIRONMENT), ENVIRONMENT)):
        if value == "random":
            return "random"
        if value:
            path = Path(value).expanduser()
            if not path.is_file():
                raise WeightsError(f"{origin} names {path}, where there is no file", _REMEDY)
            return path
    path = cached_path()
    if path.is_file():
        return path
    if not download:
        raise WeightsError(f"no weights: --weights and {ENVIRONMENT} are not set, and {path} does not exist", _REMEDY)
    _download(path, on_progress)
    return path


def _download(path: Path, on_progress: Progress | None) -> None:
    """Fetch `URL` to `path`, which appears only when it is whole and has the right checksum."""
    part: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"{path.name}.{os.getpid()}.part")
        digest = hashlib.sha256()
        with part.open("wb") as file, urllib.request.urlopen(URL, timeout=_TIMEOUT_SECONDS) as reply:
            length = reply.headers.get("Content-Length")
            expected = int(length) if length and length.isdigit() else None
            while block := reply.read(_BLOCK_BYTES):
                digest.update(block)
                file.write(block)
                if file.tell() > _LARGEST_BYTES:
                    raise WeightsError(f"{URL} is larger than any VGG19", _REMEDY)
                if on_progress is not None:
                    on_progress(file.tell(), expected)
            file.flush()
            os.fsync(file.fileno())
        if not digest.hexdigest().startswith(_SHA256_START):
            raise WeightsError(
                f"what came from {URL} is damaged (its SHA-256 is {digest.hexdigest()[:16]}...)", _REMEDY
            )
        part.replace(path)
    except (OSError, http.client.HTTPException) as error:
        raise WeightsError(
            f"no weights: --weights and {ENVIRONMENT} are not set, {path} does not exist, "
            f"and fetching {URL} failed ({getattr(error, 'reason', error)})",
            _REMEDY,
        ) from error
    finally:
        if part is not None:
            part.unlink(missing_ok=True)
