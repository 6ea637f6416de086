"""Checks that this machine can render: each part is ok, or the check says what to do.

Each check imports what it looks at, so that a broken package fails its own check and no other.
"""

import importlib
import importlib.metadata
import os
import platform
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from vidnst.devices.gpus import Card, find_cards
from vidnst.errors import VidnstError
from vidnst.formatting import format_gibibytes

_MINIMUM_PYTHON = (3, 11)
_MAIN_ENCODER = "libx264"
_USED_ENCODERS = ("libx264", "libx265", "libsvtav1", "libvpx-vp9", "prores_ks", "ffv1", "gif", "libwebp_anim", "apng")


@dataclass(frozen=True, slots=True)
class Check:
    """The result of one check."""

    name: str
    ok: bool
    found: str
    remedy: str = ""
    """The remedy if it is not ok."""
    needed_for: str = ""
    """What needs it, where a render at the defaults into .mp4 does not; empty where it does."""

    @property
    def blocks(self) -> bool:
        """True if a render at the defaults does not work."""
        return not (self.ok or self.needed_for)


def checks(weights: str | None = None, *, raft: bool = False) -> Iterator[Check]:
    """Check everything that a render needs, one part after the other.

    Args:
        weights: of VGG19, as for a render.
        raft: whether RAFT's weights are needed, too.
    """
    for name, check in (
        ("python", _python),
        ("torch", _torch),
        ("gpu", _gpu),
        ("opencv", _opencv),
        ("ffmpeg", _ffmpeg),
        ("encoders", _encoders),
        ("ray", _ray),
        ("weights", lambda: _weights(weights)),
    ):
        yield _run_check(name, check)
    slim = _run_check("slim", _slim)
    yield slim if slim.ok else replace(slim, needed_for="--backbone slim and --preset draft")
    if raft:
        yield _run_check("raft", _raft_weights)


def _run_check(name: str, check: Callable[[], Check]) -> Check:
    try:
        return check()
    except VidnstError as error:
        return Check(name, False, error.what, error.remedy)
    except Exception as error:  # a broken installation may raise anything
        return Check(name, False, f"{type(error).__name__}: {error}", "reinstall with `pip install vidnst`")


def _python() -> Check:
    ok = sys.version_info >= _MINIMUM_PYTHON
    remedy = "" if ok else f"install Python {'.'.join(map(str, _MINIMUM_PYTHON))} or newer"
    return Check("python", ok, f"{platform.python_version()} on {platform.system()} {platform.machine()}", remedy)


def _opencv() -> Check:
    importlib.import_module("cv2")
    return Check("opencv", True, importlib.metadata.version("opencv-python"))


def _torch() -> Check:
    import torch

    try:
        import torchvision
    except (ImportError, RuntimeError) as error:  # a torch of another build: pytorch/vision#9077
        remedy = "install both in one go: pip install --force-reinstall torch torchvision"
        found = f"torch {torch.__version__}, torchvision does not load: {error}"
        return Check("torch", False, found, remedy, needed_for="--set motion.method=raft")
    return Check("torch", True, f"{torch.__version__}, torchvision {torchvision.__version__}")


def _gpu() -> Check:
    cards = find_cards()
    if not cards:
        return Check("gpu", True, f"none; rendering on {os.cpu_count()} CPU cores")
    bad = [card for card in cards if card.problem]
    found = ", ".join(map(_describe_card, cards))
    if not bad:
        return Check("gpu", True, found)
    remedy = f"{bad[0].remedy}, or render on the CPU with --set farm.device=cpu"
    return Check("gpu", False, f"{found}: {bad[0].problem}", remedy)


def _describe_card(card: Card) -> str:
    memory = "" if card.memory_bytes is None else format_gibibytes(card.memory_bytes, decimals=0)
    capability = "" if card.capability is None else "sm_{}{}".format(*card.capability)
    facts = ", ".join(fact for fact in (memory, capability, "cannot be used" if card.problem else "") if fact)
    return f"{card.name} ({facts})" if facts else card.name


def _ffmpeg() -> Check:
    from vidnst.media import ffmpeg

    return Check("ffmpeg", True, str(ffmpeg.executable()))


def _encoders() -> Check:
    from vidnst.media import ffmpeg

    available = ffmpeg.encoders()
    missing = [name for name in _USED_ENCODERS if name not in available]
    if missing:
        remedy = "unset IMAGEIO_FFMPEG_EXE to use the bundled ffmpeg, or use other codecs"
        others = "" if _MAIN_ENCODER in missing else "outputs in these formats"
        return Check("encoders", False, f"missing {', '.join(missing)}", remedy, needed_for=others)
    hardware = sorted(name for name in available if name.endswith(("_nvenc", "_vaapi", "_qsv", "_videotoolbox")))
    return Check("encoders", True, f"{', '.join(_USED_ENCODERS)}; hardware: {', '.join(hardware) or 'none'}")


def _ray() -> Check:
    version = importlib.metadata.version("ray")  # importing it would take a second and start nothing
    address = os.environ.get("RAY_ADDRESS")
    return Check("ray", True, f"{version}, {f'joins {address}' if address else 'starts by itself'}")


def _weights(spec: str | None) -> Check:
    from vidnst.style.network.weights import resolve_weights, verify_weights, weights_title

    found = resolve_weights(spec, download=False)
    report = verify_weights(found)
    return Check("weights", True, f"{weights_title(found)}, {report.fingerprint[:12]}, down to {report.deepest_layer}")


def _slim() -> Check:
    from vidnst.style.network.weights import resolve_weights, verify_weights

    report = verify_weights(resolve_weights(None, backbone="slim"), backbone="slim")
    return Check("slim", True, f"bundled, {report.fingerprint[:12]} (--backbone slim, --preset draft)")


def _raft_weights() -> Check:
    from vidnst.motion.raft import resolve_raft_weights, verify_raft

    report = verify_raft(resolve_raft_weights(None, download=False))
    return Check("raft", True, f"{report.source} ({report.network})")
