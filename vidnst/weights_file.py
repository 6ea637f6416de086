"""A network's weights as a file: found on this machine or fetched, opened without trust, named by a fingerprint."""

import hashlib
import http.client
import os
import re
import urllib.request
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from torch import Tensor

from vidnst.atomic_write import part_path
from vidnst.errors import WeightsError

_BLOCK_BYTES = 2**20
_TIMEOUT_SECONDS = 30.0

ByteProgress = Callable[[int, int | None], None]
"""Told the bytes that have come, and all that there are where the server says so. May raise to cancel."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Where the weights of a network may come from, and what to say when they do not."""

    network: str
    """What it is called in messages."""
    option: str
    """How a user names a file of it: an option or a setting."""
    environment: str
    """The variable that names a file of it where the option does not."""
    urls: tuple[str, ...]
    """Files that torchvision offers; the first one in torch's cache is taken, else the first of all is fetched."""
    largest_bytes: int
    """No file of it is larger."""
    remedy: str
    """What to do where there is none, or an unusable one."""


def checksum_start(url: str) -> str:
    """The first digits of the SHA-256 of what `url` gives, which torch's hub keeps at the end of a file's name."""
    found = re.search(r"-([0-9a-f]{8,64})\.\w+$", url)
    if found is None:
        raise ValueError(f"{url} does not carry its checksum")
    return found[1]


def cached(url: str) -> Path:
    """Where torch keeps its copy: `$TORCH_HOME/hub/checkpoints`, else below `$XDG_CACHE_HOME` or `~/.cache`."""
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    home = Path(os.environ.get("TORCH_HOME") or Path(cache) / "torch")
    return home.expanduser() / "hub" / "checkpoints" / url.rpartition("/")[2]


def find_checkpoint(
    wanted: Checkpoint,
    spec: str | None,
    *,
    download: bool = True,
    on_progress: ByteProgress | None = None,
    sha256_start: str | None = None,
) -> Path:
    """The file with a network's weights.

    In this order: `spec` itself; the environment variable; torch's cache; a download into torch's cache.

    Args:
        wanted: the network.
        spec: a path, or None.
        download: whether fetching is allowed.
        on_progress: told how the download gets on.
        sha256_start: of what is downloaded; None reads it from the file's name.

    Raises:
        WeightsError: there is no such file, or none anywhere; names the places that were tried.
    """
    for value, origin in ((spec, wanted.option), (os.environ.get(wanted.environment), wanted.environment)):
        if value:
            path = Path(value).expanduser()
            if not path.is_file():
                raise WeightsError(f"{origin} names {path}, where there is no file", wanted.remedy)
            return path
    paths = [cached(url) for url in wanted.urls]
    for path in paths:
        if path.is_file():
            return path
    if not download:
        raise WeightsError(_nowhere(wanted, paths), wanted.remedy)
    _download(wanted, paths, sha256_start or checksum_start(wanted.urls[0]), on_progress)
    return paths[0]


def _nowhere(wanted: Checkpoint, paths: list[Path]) -> str:
    tried = f"{' and '.join(map(str, paths))} {'does' if len(paths) == 1 else 'do'} not exist"
    return f"no weights: {wanted.option} and {wanted.environment} are not set, and {tried}"


def _download(wanted: Checkpoint, paths: list[Path], sha256_start: str, on_progress: ByteProgress | None) -> None:
    """Fetch the first file to its place, where it appears only when it is whole and has the right checksum."""
    url, path = wanted.urls[0], paths[0]
    part: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = part_path(path.with_stem(f"{path.stem}.{os.getpid()}"))  # another process may be downloading it, too
        digest = _fetch(wanted, url, part, on_progress)
        if not digest.startswith(sha256_start):
            raise WeightsError(f"what came from {url} is damaged (its SHA-256 is {digest[:16]}...)", wanted.remedy)
        part.replace(path)
    except (OSError, http.client.HTTPException) as error:
        raise WeightsError(
            f"{_nowhere(wanted, paths)}; fetching {url} failed ({getattr(error, 'reason', error)})", wanted.remedy
        ) from error
    finally:
        if part is not None:
            part.unlink(missing_ok=True)


def _fetch(wanted: Checkpoint, url: str, part: Path, on_progress: ByteProgress | None) -> str:
    """Write what `url` gives to `part`; its SHA-256 in hexadecimal."""
    digest = hashlib.sha256()
    with part.open("wb") as file, urllib.request.urlopen(url, timeout=_TIMEOUT_SECONDS) as reply:
        length = reply.headers.get("Content-Length")
        expected = int(length) if length and length.isdigit() else None
        while block := reply.read(_BLOCK_BYTES):
            digest.update(block)
            file.write(block)
            if file.tell() > wanted.largest_bytes:
                raise WeightsError(f"{url} is larger than any {wanted.network}", wanted.remedy)
            if on_progress is not None:
                on_progress(file.tell(), expected)
        file.flush()
        os.fsync(file.fileno())
    return digest.hexdigest()


class _Tensors(Mapping[str, Tensor]):
    """Tensors of a safetensors file, each read when it is asked for."""

    def __init__(self, file: safe_open) -> None:
        self._file = file
        self._names = tuple(file.keys())  # type: ignore[no-untyped-call]

    def __getitem__(self, name: str) -> Tensor:
        if name not in self._names:
            raise KeyError(name)  # what a mapping says; safetensors raises an error of its own
        tensor: Tensor = self._file.get_tensor(name)  # type: ignore[no-untyped-call]
        return tensor

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


@contextmanager
def opened(path: Path, *, network: str, largest_bytes: int, remedy: str) -> Iterator[Mapping[str, Tensor]]:
    """The tensors of a file of torch or safetensors by name; nothing in it is executed.

    Args:
        path: the file.
        network: what it should be of.
        largest_bytes: a larger file is not read.
        remedy: what to do where it is unusable.

    Raises:
        WeightsError: for all that can be wrong with it as a file.
    """
    try:
        size_bytes = path.stat().st_size
    except OSError as error:
        raise WeightsError(f"weights {path} cannot be read ({error.strerror})", remedy) from error
    if size_bytes > largest_bytes:
        raise WeightsError(f"{path} is {size_bytes / 2**30:.1f} GiB, more than any {network}", remedy)
    try:
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as file:
                yield _Tensors(file)
            return
        # Mapped, only the tensors that are wanted are read; torchvision's VGG19 is of the older kind that cannot be.
        mapped = zipfile.is_zipfile(path)
        values = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except WeightsError:
        raise
    except Exception as error:  # a stranger's file fails in torch and safetensors in a dozen ways
        raise WeightsError(f"{path} is truncated, or no weights file", remedy) from error
    if not isinstance(values, Mapping):
        raise WeightsError(f"{path} holds no table of weights", remedy)
    yield {str(name): value for name, value in values.items() if isinstance(value, Tensor)}


def notes_of(path: Path) -> dict[str, str]:
    """What a file of safetensors says of itself; nothing for a file of another kind. The file was `opened` before."""
    if path.suffix != ".safetensors":
        return {}
    with safe_open(path, framework="pt") as file:
        return dict(file.metadata() or {})


def usable(path: Path, name: str, tensor: Tensor, shape: tuple[int, ...], remedy: str) -> NDArray[np.float32]:
    """A tensor of a file as float32, a copy.

    Raises:
        WeightsError: it has not this shape, holds no real numbers, or holds NaN or infinity.
    """
    if tuple(tensor.shape) != shape:
        raise WeightsError(f"{path} is of another network: its {name} is {tuple(tensor.shape)}, not {shape}", remedy)
    if tensor.layout != torch.strided or tensor.is_quantized:
        raise WeightsError(f"{path} is not usable: its {name} is {tensor.layout}", remedy)
    if not tensor.is_floating_point():
        raise WeightsError(f"{path} is not usable: its {name} holds {tensor.dtype}, not real numbers", remedy)
    array: NDArray[np.float32] = tensor.detach().float().numpy().copy()
    if not np.isfinite(array).all():
        raise WeightsError(f"{path} is damaged: its {name} holds NaN or infinity", remedy)
    return array


def fingerprint_of(arrays: Mapping[str, NDArray[np.float32]]) -> str:
    """SHA-256 over names, shapes and values, in hexadecimal; the same for the same weights from whatever file."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name], dtype="<f4")
        digest.update(f"{name}{array.shape}".encode())
        digest.update(array.data)
    return digest.hexdigest()
