"""A network's weights file: found on this machine or downloaded, opened as untrusted, checked and fingerprinted.

Imports torch only where a file is read, so that a missing one is noticed at once.
"""

import hashlib
import http.client
import json
import os
import re
import stat
import urllib.request
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import save

from vidnst.errors import WeightsError
from vidnst.files.part_files import new_part
from vidnst.files.utf8_path import utf8_path

if TYPE_CHECKING:
    from torch import Tensor

_BLOCK_BYTES = 2**20
_TIMEOUT_SECONDS = 30.0

DownloadProgress = Callable[[int, int | None], None]
"""Called with the bytes received so far and the total, if the server tells it. May raise an error to cancel."""


@dataclass(frozen=True, slots=True)
class WeightsSource:
    """The places where a network's weights are looked for, and the words for messages about them."""

    network: str
    """Name of the network in messages."""
    option: str
    """Option or setting by which a user names a file."""
    environment: str
    """Environment variable that names a file if the option does not."""
    urls: tuple[str, ...]
    """torchvision's files: the first that is in torch's cache is used; if none is, the first of all is downloaded."""
    max_bytes: int
    """A larger file is refused."""
    remedy: str
    """Advice if there is no file, or an unusable one."""


def sha256_prefix(url: str) -> str:
    """Read the first digits of a file's SHA-256 from the end of its name, where torch.hub puts them."""
    match = re.search(r"-([0-9a-f]{8,64})\.\w+$", url)
    if match is None:
        raise ValueError(f"{url} does not carry its checksum")
    return match[1]


def cache_path(url: str) -> Path:
    """Return torch's cache path: in `$TORCH_HOME/hub/checkpoints`, else below `$XDG_CACHE_HOME` or `~/.cache`."""
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    home = Path(os.environ.get("TORCH_HOME") or Path(cache) / "torch")
    return home.expanduser() / "hub" / "checkpoints" / url.rpartition("/")[2]


def find_weights_file(
    source: WeightsSource, spec: str | None, *, download: bool = True, on_progress: DownloadProgress | None = None
) -> Path:
    """Find the file with a network's weights, or download it.

    The order is: `spec` itself; the environment variable; torch's cache; a download into torch's cache.

    Args:
        source: where the network's weights may come from.
        spec: a path, or None.
        download: whether a download is allowed.
        on_progress: called during the download.

    Raises:
        WeightsError: the named file does not exist, or there is none in any place; names the places tried.
    """
    named = find_named_file(source, spec)
    return named or find_torch_file(source, download=download, on_progress=on_progress)


def find_named_file(source: WeightsSource, spec: str | None) -> Path | None:
    """Find the file that `spec` names, or else the environment variable; None if neither names one.

    Raises:
        WeightsError: the named file does not exist.
    """
    for value, origin in ((spec, source.option), (os.environ.get(source.environment), source.environment)):
        if value:
            path = Path(value).expanduser()
            if not path.is_file():
                raise WeightsError(f"{origin} names {path}, where there is no file", source.remedy)
            return path
    return None


def find_torch_file(
    source: WeightsSource, *, download: bool = True, on_progress: DownloadProgress | None = None
) -> Path:
    """Find one of torchvision's files in torch's cache, or download the first into it.

    Raises:
        WeightsError: there is none; names the places tried.
    """
    paths = [cache_path(url) for url in source.urls]
    for path in paths:
        if path.is_file():
            return path
    if not download:
        raise WeightsError(_not_found(source, paths), source.remedy)
    _download(source, paths, on_progress)
    return paths[0]


def _not_found(source: WeightsSource, paths: list[Path]) -> str:
    tried = f"{' and '.join(map(str, paths))} {'does' if len(paths) == 1 else 'do'} not exist"
    return f"no weights: {source.option} and {source.environment} are not set, and {tried}"


def _download(source: WeightsSource, paths: list[Path], on_progress: DownloadProgress | None) -> None:
    """Download the first file to its cache path, where it appears only when it is complete and its checksum right."""
    url, path = source.urls[0], paths[0]
    part: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = new_part(path)  # another process may be downloading it, too
        digest = _fetch(source, url, part, on_progress)
        if not digest.startswith(sha256_prefix(url)):
            raise WeightsError(f"what came from {url} is damaged (its SHA-256 is {digest[:16]}...)", source.remedy)
        part.replace(path)
    except (OSError, http.client.HTTPException) as error:
        raise WeightsError(
            f"{_not_found(source, paths)}; downloading {url} failed ({getattr(error, 'reason', error)})", source.remedy
        ) from error
    finally:
        if part is not None:
            part.unlink(missing_ok=True)


def _fetch(source: WeightsSource, url: str, part: Path, on_progress: DownloadProgress | None) -> str:
    """Write the content of `url` to `part`, and return its SHA-256 in hexadecimal."""
    digest = hashlib.sha256()
    with part.open("wb") as file, urllib.request.urlopen(url, timeout=_TIMEOUT_SECONDS) as reply:
        length = reply.headers.get("Content-Length")
        expected = int(length) if length and length.isdigit() else None
        while block := reply.read(_BLOCK_BYTES):
            digest.update(block)
            file.write(block)
            if file.tell() > source.max_bytes:
                raise WeightsError(f"{url} is larger than any {source.network}", source.remedy)
            if on_progress is not None:
                on_progress(file.tell(), expected)
        file.flush()
        os.fsync(file.fileno())
    return digest.hexdigest()


class _Tensors(Mapping[str, "Tensor"]):
    """The tensors of a safetensors file by name, each read on access."""

    def __init__(self, file: safe_open) -> None:
        self._file = file
        self._names = tuple(file.keys())  # type: ignore[no-untyped-call]

    def __getitem__(self, name: str) -> "Tensor":
        if name not in self._names:
            raise KeyError(name)  # a mapping's error; safetensors raises one of its own
        tensor: Tensor = self._file.get_tensor(name)  # type: ignore[no-untyped-call]
        return tensor

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


@contextmanager
def open_weights(path: Path, *, network: str, max_bytes: int, remedy: str) -> Iterator[Mapping[str, "Tensor"]]:
    """Open a torch or safetensors file as a mapping of tensors by name, without executing anything in it.

    Args:
        path: the file.
        network: name of the network it should belong to, for messages.
        max_bytes: a larger file is refused.
        remedy: advice for messages.

    Raises:
        WeightsError: the file is missing, unreadable, too large, truncated, or no weights file.
    """
    import torch

    try:
        facts = path.stat()
    except OSError as error:
        raise WeightsError(f"weights {path} cannot be read ({error.strerror})", remedy) from error
    size_bytes = facts.st_size
    if not stat.S_ISREG(facts.st_mode):  # opening a pipe would wait for ever
        raise WeightsError(f"{path} is no file", remedy)
    if size_bytes > max_bytes:
        raise WeightsError(f"{path} is {size_bytes / 2**30:.1f} GiB, more than any {network}", remedy)
    try:
        if path.suffix == ".safetensors":
            with utf8_path(path) as name, safe_open(name, framework="pt") as file:
                yield _Tensors(file)
            return
        # Memory-mapped, only the tensors in use are read; torchvision's VGG19 has the older format, which cannot be.
        mapped = zipfile.is_zipfile(path)
        with utf8_path(path) as name:
            values = torch.load(name, map_location="cpu", weights_only=True, mmap=mapped)
    except WeightsError:
        raise
    except Exception as error:  # torch and safetensors fail on a malformed file in a dozen ways
        raise WeightsError(f"{path} is truncated, or no weights file", remedy) from error
    if not isinstance(values, Mapping):
        raise WeightsError(f"{path} holds no table of weights", remedy)
    yield {str(name): value for name, value in values.items() if isinstance(value, torch.Tensor)}


def read_metadata(path: Path) -> dict[str, str]:
    """Read the metadata of a safetensors file that `open_weights` accepted; empty for other formats."""
    if path.suffix != ".safetensors":
        return {}
    with utf8_path(path) as name, safe_open(name, framework="pt") as file:
        return dict(file.metadata() or {})


def checked_tensor(path: Path, name: str, tensor: "Tensor", shape: tuple[int, ...], remedy: str) -> NDArray[np.float32]:
    """Check a tensor of a file and copy it to float32.

    Raises:
        WeightsError: it has another shape, holds no real numbers, or holds NaN or infinity.
    """
    import torch

    if tuple(tensor.shape) != shape:
        actual = tuple(tensor.shape)
        raise WeightsError(f"{path} belongs to another network: its {name} is {actual}, not {shape}", remedy)
    if tensor.layout != torch.strided or tensor.is_quantized:
        raise WeightsError(f"{path} is not usable: its {name} is {tensor.layout}", remedy)
    if not tensor.is_floating_point():
        raise WeightsError(f"{path} is not usable: its {name} holds {tensor.dtype}, not real numbers", remedy)
    array: NDArray[np.float32] = tensor.detach().float().numpy().copy()
    if not np.isfinite(array).all():
        raise WeightsError(f"{path} is damaged: its {name} holds NaN or infinity", remedy)
    return array


def encode_safetensors(arrays: Mapping[str, NDArray[np.floating]], metadata: Mapping[str, str]) -> bytes:
    """Encode arrays as a safetensors file, reproducible to the byte."""
    # Notes may name files whose names are not UTF-8, which the format cannot hold.
    notes = {key: value.encode(errors="backslashreplace").decode() for key, value in metadata.items()}
    data = save(dict(arrays), metadata=notes)
    # The library writes the metadata in random order, so the header is rewritten in sorted order.
    end = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:end])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # tensors must begin at a multiple of eight
    return len(text).to_bytes(8, "little") + text + data[end:]


def weights_fingerprint(arrays: Mapping[str, NDArray[np.float32]]) -> str:
    """Compute the SHA-256 over names, shapes and values, in hexadecimal: it depends on no file format."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name], dtype="<f4")
        digest.update(f"{name}{array.shape}".encode())
        digest.update(array.data)
    return digest.hexdigest()
