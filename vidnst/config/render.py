"""The whole configuration of a render."""

from typing import Any, Literal

from vidnst.config.base import Section
from vidnst.config.effects import ColourConfig, FiltersConfig, PhotoConfig
from vidnst.config.execution import FarmConfig, OutputConfig
from vidnst.config.input import InputConfig, RegionsConfig
from vidnst.config.stylization import LossConfig, ModelConfig, OptimizeConfig, StylesConfig
from vidnst.config.temporal import MotionConfig, ScheduleConfig

LOOK_SECTIONS = (
    *("input", "regions", "model", "styles", "losses", "optimize", "schedule", "motion"),
    *("colour", "photo", "filters"),
)
"""Sections that decide the bytes of a frame."""

_LATER_SECTIONS = ("styles", "colour", "photo", "filters")
_SINCE = {
    "model": ("padding", "unit"),
    "losses": ("style_kinds", "edges_weight", "edges_cells"),
    "optimize": ("match_init", "stop_at_loss"),
}
"""Sections and settings that runs of earlier versions do not know; a look names them where they ask for something."""


class RenderConfig(Section):
    """Everything that can be decided about a render besides source, styles and output path."""

    input: InputConfig = InputConfig()
    regions: RegionsConfig = RegionsConfig()
    model: ModelConfig = ModelConfig()
    styles: StylesConfig = StylesConfig()
    losses: LossConfig = LossConfig()
    optimize: OptimizeConfig = OptimizeConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    motion: MotionConfig = MotionConfig()
    colour: ColourConfig = ColourConfig()
    photo: PhotoConfig = PhotoConfig()
    filters: FiltersConfig = FiltersConfig()
    farm: FarmConfig = FarmConfig()
    output: OutputConfig = OutputConfig()

    def evaluations(self, role: str, pass_index: int = 0) -> int:
        """Evaluations of the loss that a node of a role gets at most."""
        if not self.stylizes:
            return 0
        return max(1, round(self.optimize.iterations * self.schedule.work(role, pass_index).share))

    @property
    def stylizes(self) -> bool:
        """Whether frames are optimised; without iterations they pass through."""
        return self.optimize.iterations > 0

    @property
    def changes_pictures(self) -> bool:
        """Whether the output shows anything but the (adjusted) source."""
        return self.stylizes or self.reworks

    @property
    def finishes(self) -> bool:
        """Whether rendered frames are worked on before they are packed."""
        return self.colour.keep != "none" or self.photo.enabled or bool(self.filters.after)

    @property
    def reworks(self) -> bool:
        """Whether anything but the network and the input's adjustments changes a picture."""
        return self.finishes or bool(self.filters.before)

    @property
    def frame_bits(self) -> Literal[8, 16]:
        """Bits per channel of a rendered frame in the run folder: what is worked on further is not rounded twice."""
        return 16 if self.finishes else self.output.bits

    def look(self) -> dict[str, Any]:
        """The sections that decide the bytes of a frame, as plain JSON values.

        The backbone and the paths of weights and masks are left out: the run's record has a place of its own for them,
        with fingerprints of what the files hold. The usual method of flow is left out, too, and so is what is newer
        than some runs while at its default, so that a run from before there was a choice can go on. Of the output only
        the bits of a stored frame count.
        """
        values = self.model_dump(mode="json", include=set(LOOK_SECTIONS))
        for key in ("backbone", "weights"):
            values["model"].pop(key)
        values["motion"].pop("raft_weights")
        if self.motion.method == "dis":
            values["motion"].pop("method")
        usual = type(self)().model_dump(mode="json")
        for section, keys in _SINCE.items():
            for key in keys:
                if values[section][key] == usual[section][key]:
                    values[section].pop(key)
        if not values["regions"].pop("masks"):
            values.pop("regions")
        for section in _LATER_SECTIONS:
            if values[section] == usual[section]:
                values.pop(section)
        values["output"] = {"bits": self.output.bits}
        return values
