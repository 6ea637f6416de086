"""The configuration: what can be decided about a render, with its defaults, limits and units.

Sections `input` to `filters` decide the picture and go into the look's fingerprint; `farm` and `output` decide where it
is computed and how it is packed, and may change between a run and its resumption.
"""

from vidnst.config.base import Section
from vidnst.config.effects import (
    ColourConfig,
    FilterConfig,
    FiltersConfig,
    PaletteConfig,
    PhotoConfig,
    SuperpixelsConfig,
)
from vidnst.config.execution import FarmConfig, OutputConfig
from vidnst.config.input import InputConfig, RegionsConfig
from vidnst.config.render import LOOK_SECTIONS, RenderConfig
from vidnst.config.stylization import (
    STYLE_LAYERS,
    VGG19_LAYERS,
    LossConfig,
    ModelConfig,
    OptimizeConfig,
    StyleKind,
    StylesConfig,
)
from vidnst.config.temporal import (
    BetweenConfig,
    KeyConfig,
    MotionConfig,
    RelaxConfig,
    ScheduleConfig,
    SettleConfig,
    WarmConfig,
)

__all__ = [
    "LOOK_SECTIONS",
    "STYLE_LAYERS",
    "VGG19_LAYERS",
    "BetweenConfig",
    "ColourConfig",
    "FarmConfig",
    "FilterConfig",
    "FiltersConfig",
    "InputConfig",
    "KeyConfig",
    "LossConfig",
    "ModelConfig",
    "MotionConfig",
    "OptimizeConfig",
    "OutputConfig",
    "PaletteConfig",
    "PhotoConfig",
    "RegionsConfig",
    "RelaxConfig",
    "RenderConfig",
    "ScheduleConfig",
    "Section",
    "SettleConfig",
    "StyleKind",
    "StylesConfig",
    "SuperpixelsConfig",
    "WarmConfig",
]
