"""vidnst: neural style transfer for moving pictures, steady, parallel and resumable.

`render` stylizes a clip, `stylize` one picture, `batch` many clips; `resume` continues what was stopped. `proof`,
`evolve` and `compare` show what settings do, `plan` what a render would take, `measure` how steady an output is, and
`probe` what a source holds. Importing this package loads neither torch nor Ray nor OpenCV, and changes nothing in the
process.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vidnst import errors as errors
    from vidnst import events as events
    from vidnst.api import batch as batch
    from vidnst.api import measure as measure
    from vidnst.api import plan as plan
    from vidnst.api import probe as probe
    from vidnst.api import render as render
    from vidnst.api import resume as resume
    from vidnst.config import RenderConfig as RenderConfig
    from vidnst.config.loader import load_config as load_config
    from vidnst.config.loader import preset_names as preset_names
    from vidnst.config.style import Style as Style
    from vidnst.errors import CancelledError as CancelledError
    from vidnst.errors import FramesFailedError as FramesFailedError
    from vidnst.errors import VidnstError as VidnstError
    from vidnst.rendering.pipeline import RenderResult as RenderResult
    from vidnst.style.stylize import stylize as stylize
    from vidnst.tools.preview.compare import compare as compare
    from vidnst.tools.preview.evolve import evolve as evolve
    from vidnst.tools.preview.proof import proof as proof

__version__ = "0.1.0"

_HOMES = {
    **dict.fromkeys(("batch", "measure", "plan", "probe", "render", "resume"), "vidnst.api"),
    "RenderConfig": "vidnst.config",
    **dict.fromkeys(("load_config", "preset_names"), "vidnst.config.loader"),
    "Style": "vidnst.config.style",
    **dict.fromkeys(("CancelledError", "FramesFailedError", "VidnstError"), "vidnst.errors"),
    "RenderResult": "vidnst.rendering.pipeline",
    "stylize": "vidnst.style.stylize",
    "compare": "vidnst.tools.preview.compare",
    "evolve": "vidnst.tools.preview.evolve",
    "proof": "vidnst.tools.preview.proof",
}
"""The module of each public name; it is imported when the name is used for the first time."""
_MODULES = ("errors", "events")

__all__ = [*_HOMES, *_MODULES, "__version__"]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"vidnst.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'vidnst' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
