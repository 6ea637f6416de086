"""vidnst: neural style transfer for moving pictures, steady, parallel and resumable.

`render` stylizes a clip, `stylize` one picture; `proof`, `evolve` and `compare` show what settings do. Importing this
package loads neither torch nor Ray nor OpenCV; calling these functions does.
"""

import os
from typing import TYPE_CHECKING, Any

# Threads of torch's OpenMP spin while they wait for each other, so wherever another process wants a core (Ray's own,
# the flow, anything) all of them stall: 1.6 s an iteration instead of 0.6 s on two busy cores. libgomp reads this once,
# when torch loads it; a user's own choice wins.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# But for some microseconds: threads that wait for each other at the end of a layer mostly need no longer, and waking up
# takes longer than that. 0.084 to 0.074 s an iteration at 256x144 on two free cores, 0.21 to 0.15 on busy ones.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")

if TYPE_CHECKING:
    from vidnst.config import RenderConfig as RenderConfig
    from vidnst.rendering.pipeline import render as render
    from vidnst.style.stylizer import stylize_image as stylize
    from vidnst.tools.preview.compare import compare as compare
    from vidnst.tools.preview.evolve import evolve as evolve
    from vidnst.tools.preview.proof import proof as proof

__version__ = "0.1.0"

__all__ = ["RenderConfig", "__version__", "compare", "evolve", "proof", "render", "stylize"]

_HOMES = {
    "RenderConfig": ("vidnst.config", "RenderConfig"),
    "compare": ("vidnst.tools.preview.compare", "compare"),
    "evolve": ("vidnst.tools.preview.evolve", "evolve"),
    "proof": ("vidnst.tools.preview.proof", "proof"),
    "render": ("vidnst.rendering.pipeline", "render"),
    "stylize": ("vidnst.style.stylizer", "stylize_image"),
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'vidnst' has no attribute {name!r}")
    import importlib

    module, attribute = _HOMES[name]
    return getattr(importlib.import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted(__all__)
