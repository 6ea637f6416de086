"""The configuration of a render: all sections together."""

from typing import Any, Literal

from vidnst.config.audio import AudioConfig
from vidnst.config.base import Section
from vidnst.config.effects import ColourConfig, FiltersConfig, PhotoConfig
from vidnst.config.execution import FarmConfig, OutputConfig
from vidnst.config.input import InputConfig, KeysConfig, RegionsConfig
from vidnst.config.stylization import LossConfig, ModelConfig, OptimizeConfig, StylesConfig
from vidnst.config.temporal import MotionConfig, Role, ScheduleConfig

_NOT_IN_LOOK: dict[str, Any] = {
    "input": {"on_bad_frame"},
    "model": {"backbone", "weights", "network"},
    "motion": {"raft_weights"},
    "regions": {"masks"},
    "audio": {"style"},
    "keys": {"pictures", "folder"},
    "farm": True,
    "output": True,
}

_LEARNING_OF_KEYS = {"pixels_weight", "features_weight", "clip_share"}


class RenderConfig(Section):
    """Everything that can be decided about a render except source, styles and output path."""

    input: InputConfig = InputConfig()
    regions: RegionsConfig = RegionsConfig()
    keys: KeysConfig = KeysConfig()
    model: ModelConfig = ModelConfig()
    styles: StylesConfig = StylesConfig()
    losses: LossConfig = LossConfig()
    optimize: OptimizeConfig = OptimizeConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    motion: MotionConfig = MotionConfig()
    colour: ColourConfig = ColourConfig()
    photo: PhotoConfig = PhotoConfig()
    filters: FiltersConfig = FiltersConfig()
    audio: AudioConfig = AudioConfig()
    farm: FarmConfig = FarmConfig()
    output: OutputConfig = OutputConfig()

    def evaluations(self, role: Role, pass_index: int = 0) -> int:
        """Return the maximum number of loss evaluations for a node of a role."""
        if not self.stylizes:
            return 0
        return max(1, round(self.optimize.iterations * self.schedule.work(role, pass_index).share))

    @property
    def stylizes(self) -> bool:
        """True if frames are optimised; without iterations they pass through."""
        return self.optimize.iterations > 0

    @property
    def changes_pictures(self) -> bool:
        """True if the output shows anything but the (adjusted) source."""
        return self.stylizes or self.reworks

    @property
    def has_report(self) -> bool:
        """True if a report is written: something of the source has changed, and the settings want one."""
        return self.output.report and (self.changes_pictures or self.audio.style is not None)

    @property
    def finishes(self) -> bool:
        """True if effects are applied to stylized frames before the encode."""
        return self.colour.keep != "none" or self.photo.enabled or bool(self.filters.after)

    @property
    def reworks(self) -> bool:
        """True if effects are applied to frames before or after stylization."""
        return self.finishes or bool(self.filters.before)

    @property
    def frame_bits(self) -> Literal[8, 16]:
        """Bits per channel of a stylized frame in the run folder; 16 if effects follow, to avoid rounding twice."""
        return 16 if self.finishes else self.output.picture_bits

    @property
    def flow(self) -> MotionConfig:
        """The settings of the optical flow, which is fine where frames follow painted keys."""
        is_fine = self.keys.are_given and self.keys.fine_flow
        return self.motion.model_copy(update={"preset": "fine"}) if is_fine else self.motion

    def look(self) -> dict[str, Any]:
        """Return the *look*: all settings that decide the bytes of a frame, as plain JSON values.

        The backbone and the paths of weights, masks, painted keys and the sound's style are left out, because the
        run's manifest lists them separately, with fingerprints of the files' contents. The soundtrack counts where it
        is restyled, and how a network learns painted keys where one does. Of `output` only the bits of a stored frame
        count. Whether a frame that does not decode is repeated changes no frame that was painted without it.
        """
        unused = {"keys": self.keys.are_given, "audio": self.audio.style is not None}
        left_out = _NOT_IN_LOOK | {section: True for section, is_used in unused.items() if not is_used}
        if self.keys.are_given and self.schedule.kind != "network":
            left_out["keys"] = _NOT_IN_LOOK["keys"] | _LEARNING_OF_KEYS
        return self.model_dump(mode="json", exclude=left_out) | {"output": {"bits": self.output.picture_bits}}
