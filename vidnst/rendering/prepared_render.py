"""A render that is ready to paint."""

from dataclasses import dataclass, field
from pathlib import Path

from vidnst.config import RenderConfig, ScheduleConfig
from vidnst.frames import ClipInfo, Shot
from vidnst.media.adjust.adjustments import Adjustments
from vidnst.rendering.prepare import CheckedRequest
from vidnst.rendering.soundtrack import SoundTracks
from vidnst.rendering.source_frames import SourceFrames
from vidnst.rendering.styles.style_spec import StylePicture
from vidnst.runs import RunStore
from vidnst.runs.event_recorder import EventRecorder
from vidnst.runs.request import Request


@dataclass(frozen=True, slots=True)
class PreparedRender:
    """A request with its run folder open, its shots found, and its source studied and filtered. Close it."""

    checked: CheckedRequest
    store: RunStore
    recorder: EventRecorder
    """Passes events on to the caller, and writes those into the log that are worth keeping."""
    source: SourceFrames
    """The frames as they are rendered."""
    adjustments: Adjustments | None
    """Gains and homographies of the source's frames."""
    styles: tuple[StylePicture, ...]
    """The style pictures, in the source's colours if those are transferred."""
    sound: SoundTracks = field(default_factory=SoundTracks)
    """The soundtrack, decoded, if it is restyled."""

    @property
    def request(self) -> Request:
        """The request that was checked."""
        return self.checked.request

    @property
    def config(self) -> RenderConfig:
        """The resolved configuration."""
        return self.checked.config

    @property
    def schedule(self) -> ScheduleConfig:
        """The schedule that the shots' plans follow."""
        return self.checked.schedule

    @property
    def clip(self) -> ClipInfo:
        """The source, as it was probed."""
        return self.checked.clip

    @property
    def start(self) -> int:
        """First frame, an index of the whole source."""
        return self.checked.start

    @property
    def end(self) -> int:
        """Index after the last frame."""
        return self.checked.end

    @property
    def frames(self) -> int:
        """Number of frames to render."""
        return self.checked.frames

    @property
    def shots(self) -> tuple[Shot, ...]:
        """The shots of the range."""
        return self.source.shots

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels, as rendered."""
        return self.source.size

    def final_frames(self) -> list[Path]:
        """Return the pictures that are encoded and measured, in order."""
        return [self.store.layout.final_frame(index, self.config) for index in range(self.start, self.end)]

    def close(self) -> None:
        """Remove the decoded sound, and unlock the run folder."""
        self.sound.close()
        self.recorder.close()
        self.store.close()
