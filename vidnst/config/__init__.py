"""The configuration: what can be decided about a render, with its defaults, limits and units.

The sections `input` to `audio` decide the pixels and the sound and make up the *look*, the fingerprint of settings by
which a resumed run is compared with the earlier one. `farm` and `output` decide where frames are computed and how they
are encoded, and may change between a run and its resumption.
"""

from vidnst.config.audio import AudioConfig
from vidnst.config.effects import ColourConfig, FilterConfig, PaletteConfig, PhotoConfig, SuperpixelsConfig
from vidnst.config.execution import FarmConfig, OutputConfig
from vidnst.config.input import InputConfig
from vidnst.config.render import RenderConfig
from vidnst.config.stylization import STYLE_LAYERS, VGG19_LAYERS, LossConfig, OptimizeConfig, StyleKind, StylesConfig
from vidnst.config.temporal import MotionConfig, Role, ScheduleConfig

__all__ = [
    "STYLE_LAYERS",
    "VGG19_LAYERS",
    "AudioConfig",
    "ColourConfig",
    "FarmConfig",
    "FilterConfig",
    "InputConfig",
    "LossConfig",
    "MotionConfig",
    "OptimizeConfig",
    "OutputConfig",
    "PaletteConfig",
    "PhotoConfig",
    "RenderConfig",
    "Role",
    "ScheduleConfig",
    "StyleKind",
    "StylesConfig",
    "SuperpixelsConfig",
]
