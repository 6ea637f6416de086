"""The parts by name: where each is, and its bound. Imports no torch, since the parent needs none."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any


@dataclass(frozen=True, slots=True)
class Part:
    """A group of checks that is timed and fails as one."""

    name: str
    module: str
    seconds: float
    """Most seconds on a GPU. Parts usually take a fraction of it."""
    usual: bool = True
    """False runs it only if it is named."""

    def load(self) -> Any:
        """The function that does it, which takes a `Check`."""
        return getattr(import_module(f"bench.gpu_check.{self.module}"), f"check_{self.name}")


PARTS = (  # the most telling first: what does not fit into the time is left out at the end
    Part("card", "card", 30),
    Part("losses", "precision", 60),
    Part("precision", "precision", 45),
    Part("repeat", "determinism", 40),
    Part("blending", "blending", 20),
    Part("uploads", "uploads", 20),
    Part("hands", "hands", 40),
    Part("threads", "hands", 15),
    Part("memory", "memory", 45),
    Part("ladder", "memory", 45),
    Part("speed", "speed", 60),
    Part("renders", "renders", 75),
    Part("presets", "renders", 60),
    Part("engines", "renders", 60),
    Part("flow", "flow", 40),
    Part("network", "networks", 40),
    Part("instant", "networks", 20),
    Part("sound", "sound", 30),
    Part("distill", "training", 45),
    Part("lost", "lost", 60),
    Part("ray", "farm", 60),
    Part("encoders", "encoders", 30),
    Part("kinds", "speed", 40),
    Part("tests", "tests", 60),
    Part("graphs", "experiments", 40, usual=False),
    Part("fusion", "experiments", 100, usual=False),
    Part("layers", "experiments", 40, usual=False),
)


def choose_parts(names: Sequence[str]) -> list[Part]:
    """The parts of some names, or the usual ones for none.

    Raises:
        ValueError: there is no such part.
    """
    known = {part.name: part for part in PARTS}
    if unknown := sorted(set(names) - set(known)):
        raise ValueError(f"no part is called {', '.join(unknown)}; there are {', '.join(known)}")
    return [known[name] for name in names] if names else [part for part in PARTS if part.usual]
