"""The steps of one optimisation as they are recorded: all losses, and pictures of those that will be shown."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from vidnst.config import RenderConfig
from vidnst.errors import CancelledError
from vidnst.events import Cancelled, OnEvent, Stage
from vidnst.frames import Pixels, to_bits
from vidnst.tools.preview.single_frame_effects import finished

if TYPE_CHECKING:  # they bring torch
    from vidnst.farm.jobs import Stylized
    from vidnst.style.minimize import StepReport


@dataclass(frozen=True, slots=True)
class RecordedStep:
    """An evaluation of the loss."""

    evaluation: int
    """From 1, over all scales; the first is of what the picture starts from."""
    losses: Mapping[str, float]
    """total (weighted), and content, style and tv without their weights."""
    height: int
    """Of the picture at that scale, pixels."""


@dataclass(slots=True)
class Recorder:
    """Listens to an optimisation; keeps all its losses, and pictures at some steps in a folder."""

    folder: Path
    content: Pixels
    config: RenderConfig
    wanted: frozenset[int]
    on_event: OnEvent
    cancelled: Cancelled
    steps: list[RecordedStep] = field(default_factory=list)

    def __call__(self, report: "StepReport") -> None:
        from vidnst.style.tensors import resized, to_state

        if self.cancelled():
            raise CancelledError("stopped while the picture was painted", "give the same command again")
        self.steps.append(RecordedStep(report.evaluation, report.losses, report.height))
        self.on_event(Stage("evaluations", report.evaluation, report.limit))
        if report.evaluation in self.wanted:
            state = to_state(resized(report.picture, *self.content.shape[:2]))
            self._write(report.evaluation, to_bits(state, self.config.output.bits))

    def finish(self, painted: "Stylized") -> None:
        """The finished picture takes the place of the last step's."""
        bits = self.config.output.bits
        self._write(painted.evaluations, finished(painted, self.content, self.config, bits=bits))

    def read(self, step: int) -> Pixels:
        """A kept picture, `(H, W, 3)` of 8 or 16 bits."""
        from vidnst.media.images import read_image

        return read_image(self._path(step))

    def copy(self, step: int, path: Path) -> None:
        """Write a kept picture where it is wanted, in the format that the name says."""
        from vidnst.media.images import write_image

        write_image(path, self.read(step))

    def _write(self, step: int, pixels: Pixels) -> None:
        from vidnst.media.images import encode_png
        from vidnst.runs.atomic_files import writing

        with writing(self.folder.parent):  # not to be kept, so nothing waits for the disk
            self._path(step).write_bytes(encode_png(pixels, bits=self.config.output.bits))

    def _path(self, step: int) -> Path:
        return self.folder / f"{step:06d}.png"
