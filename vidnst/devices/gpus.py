"""Facts about the GPUs of this machine: which there are, and why one cannot be used. Imports torch when it is asked.

Two kinds of cards would otherwise go unnoticed. torch sees one for which it has no code, and every kernel fails. And
it does not see one whose driver is too old, so that work silently goes to the CPU.
"""

import os
import shutil
import subprocess
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vidnst.errors import FarmError

_VISIBLE = "CUDA_VISIBLE_DEVICES"
_QUERY_SECONDS = 20
_DEVICE_FILES = Path("/dev")
_SIGNS_OF_CARDS = ("nvidiactl", "nvidia0", "nvhost-gpu", "nvgpu", "dxg", "kfd")
"""Device files of NVIDIA's cards and small computers, of cards in WSL, and of AMD's cards."""
_NO_START = "CUDA does not start"
_REMEDY = "see `vidnst doctor`, or render on the CPU with --set farm.device=cpu"


@dataclass(frozen=True, slots=True)
class Card:
    """A GPU of this machine."""

    name: str
    memory_bytes: int | None = None
    """None if torch does not see it."""
    capability: tuple[int, int] | None = None
    """CUDA's compute capability; None if it is not known."""
    problem: str = ""
    """The reason why it cannot be used; empty if it can."""
    remedy: str = ""
    """The remedy that makes it usable."""


def find_cards() -> list[Card]:
    """All GPUs that this process may use, or could use if torch or the driver were others."""
    if not (may_have_cards() or "torch" in sys.modules):  # torch takes seconds to import
        return []
    import torch

    with warnings.catch_warnings():  # torch warns of what is a card's problem here
        warnings.simplefilter("ignore")
        if torch.cuda.is_available():
            return [_asked_card(number) for number in range(torch.cuda.device_count())]
        names = _unseen_cards()
        problem, remedy = _why_unseen() if names else ("", "")
    return [Card(name, problem=problem, remedy=remedy) for name in names]


def may_have_cards() -> bool:
    """False if this machine has no GPU that torch could see, by what its kernel offers; True where that is unknown."""
    if not sys.platform.startswith("linux") or shutil.which("nvidia-smi") is not None:
        return True
    return any((_DEVICE_FILES / name).exists() for name in _SIGNS_OF_CARDS)


def check_cards() -> list[Card]:
    """All GPUs that this process may use; none is a good answer.

    Raises:
        FarmError: there are GPUs, and one of them cannot be used.
    """
    cards = find_cards()
    bad = next((card for card in cards if card.problem), None)
    if bad is not None:
        raise FarmError(f"the GPU {bad.name} cannot be used: {bad.problem}", f"{bad.remedy}; {_REMEDY}")
    return cards


def has_usable_gpu() -> bool:
    """True if torch can compute on a GPU of this machine."""
    return any(not card.problem for card in find_cards())


def runs_code_for(capability: tuple[int, int], architectures: Sequence[str]) -> bool:
    """True if a build of torch with code for some architectures runs on a card.

    Machine code (`sm_86`) runs on cards of the same major version and the same or a higher minor one; that of
    `sm_90a` on this one alone, and that of `sm_100f` on its family. Intermediate code (`compute_90`) is compiled for
    every later card. An empty list is of a build that does not say.
    """
    own = 10 * capability[0] + capability[1]
    for architecture in architectures:
        kind, _, text = architecture.partition("_")
        digits = text.rstrip("af")
        if not digits.isdecimal():
            return True  # not CUDA's names
        number, bound = int(digits), text.endswith("a")
        if number == own or (not bound and kind == "compute" and number <= own):
            return True
        if not bound and kind == "sm" and number // 10 == capability[0] and number <= own:
            return True
    return not architectures


def _asked_card(number: int) -> Card:
    try:
        return _seen_card(number)
    except (RuntimeError, AssertionError) as error:  # the driver lists it, and CUDA does not start on it
        return Card(f"number {number}", problem=_first_sentence(error), remedy="restart its driver or the machine")


def _seen_card(number: int) -> Card:
    import torch

    facts = torch.cuda.get_device_properties(number)
    capability = (int(facts.major), int(facts.minor))
    architectures = [] if torch.version.hip else torch.cuda.get_arch_list()
    problem = remedy = ""
    if not runs_code_for(capability, architectures):
        own = f"sm_{capability[0]}{capability[1]}"
        problem = f"torch {torch.__version__} has no code for {own}, only for {', '.join(architectures)}"
        remedy = f"install a torch with {own}, or hide the card with {_VISIBLE}"
    return Card(str(facts.name), int(facts.total_memory), capability, problem, remedy)


def _unseen_cards() -> list[str]:
    """Names of NVIDIA's cards that the system has and torch does not see; none if the user hides them."""
    if os.environ.get(_VISIBLE, "all").strip() in ("", "-1", "NoDevFiles"):
        return []
    if names := _listed_cards():
        return names
    # Only containers that were given the cards have these; /proc/driver/nvidia is in all of them.
    files = (path.name for path in _DEVICE_FILES.glob("nvidia[0-9]*"))
    return [f"/dev/{name}" for name in sorted(files) if name.removeprefix("nvidia").isdecimal()]


def _listed_cards() -> list[str]:
    """The names that NVIDIA's own tool lists, if it is there."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return []
    command = [tool, "--query-gpu=name", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_QUERY_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in done.stdout.splitlines() if line.strip()]


def _why_unseen() -> tuple[str, str]:
    """Why torch sees none of the cards, and what helps."""
    import torch

    if torch.version.cuda is None and torch.version.hip is None:
        return f"torch {torch.__version__} is built for CPUs alone", "install torch with CUDA"
    remedy = f"update the driver, or install a torch for an older CUDA than {torch.version.cuda}"
    try:
        torch.cuda.init()  # type: ignore[no-untyped-call]
    except (RuntimeError, AssertionError) as error:
        return _first_sentence(error), remedy
    return _NO_START, remedy


def _first_sentence(error: BaseException) -> str:
    text = next(iter(str(error).strip().splitlines()), "")
    return text.split(". ")[0][:300].rstrip(". ") or _NO_START
