"""The errors that vidnst raises on purpose, as one tree.

    VidnstError                    1   anything not listed below
    ├── ConfigError                2   a key, value, option or preset that is wrong
    ├── SourceError                3   the source: missing, not decodable, empty, mixed sizes
    │   ├── BadFrameError          3   one frame in the middle does not decode
    │   └── RangeError             3   --start/--end outside the clip
    ├── StyleError                 4   a style image that is missing, unreadable or of one plain colour
    ├── WeightsError               5   weights missing, truncated, or of another network
    ├── OutputError                6   the output: exists, not writable, not as planned after encoding
    │   ├── DiskFullError          6   no space left, or too little to start
    │   └── EncoderError           6   ffmpeg lacks the encoder, or failed
    ├── FarmError                  7   workers: too few GPUs, cluster not reachable
    │   ├── NumericalError         7   NaN or infinity in a result
    │   └── ScarceMemoryError      7   a frame does not fit into any worker's memory, even in the most saving mode
    ├── RunError                   8   the run folder: locked, damaged, or of another render
    ├── FramesFailedError          9   finished, but some frames failed
    └── CancelledError           130   stopped by the user
        └── UnmeasuredError      130   stopped while the finished output was measured

The number is the exit status of the command line. Every message says what is wrong, where, and what to do about it.
"""

import shlex
from pathlib import Path
from typing import ClassVar


class VidnstError(Exception):
    """The base of all errors that a user may see: their message says what is wrong, where, and what to do.

    Args:
        what: what is wrong, naming the file, key or frame, without a full stop.
        remedy: what the reader can do about it, as an imperative, without a full stop; may be empty.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, what: str, remedy: str = "") -> None:
        super().__init__(what, remedy)
        self.what = what
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.what}; {self.remedy}." if self.remedy else f"{self.what}."


class ConfigError(VidnstError):
    """A configuration key, value, option or preset that is wrong."""

    exit_code = 2


class SourceError(VidnstError):
    """The source cannot be used: missing, undecodable, empty, or of mixed sizes."""

    exit_code = 3


class BadFrameError(SourceError):
    """A frame inside the clip does not decode."""


class RangeError(SourceError):
    """A start or end outside the clip."""


class StyleError(VidnstError):
    """A style image that is missing, unreadable, or a plain colour."""

    exit_code = 4


class WeightsError(VidnstError):
    """Network weights that are missing, truncated, or belong to another network."""

    exit_code = 5


class OutputError(VidnstError):
    """The output exists already, cannot be written, or differs from what was planned."""

    exit_code = 6


class OutputExistsError(OutputError):
    """The output exists already, and may not be replaced."""


class DiskFullError(OutputError):
    """The disk has no space left, or too little to start."""


class EncoderError(OutputError):
    """ffmpeg has no such encoder, or failed while encoding."""


class FarmError(VidnstError):
    """Workers are not available: too few GPUs, or the cluster cannot be reached."""

    exit_code = 7


class NumericalError(FarmError):
    """An optimisation produced NaN or infinity."""


class ScarceMemoryError(FarmError):
    """A frame does not fit into its worker's memory, even in the mode that saves the most."""


class LostValueError(FarmError):
    """A result was lost with the machine that held it, before it was stored; what is stored is not affected."""


class RunError(VidnstError):
    """The run folder is locked, damaged, or belongs to a different render."""

    exit_code = 8


class FramesFailedError(VidnstError):
    """The render finished, except for frames that failed in every attempt that the configuration allows.

    Args:
        what, remedy: as in `VidnstError`.
        frames: indices of the missing frames in the whole source.
    """

    exit_code = 9

    def __init__(self, what: str, remedy: str = "", *, frames: tuple[int, ...] = ()) -> None:
        super().__init__(what, remedy)
        self.frames = frames


class CancelledError(VidnstError):
    """The user stopped the run; finished frames are kept."""

    exit_code = 130


class UnmeasuredError(CancelledError):
    """The user stopped the run while it was measured: its output is finished, and nothing is left to resume.

    Args:
        output: the output.
    """

    def __init__(self, output: Path) -> None:
        what = f"{output} is finished; it was not measured, since that was stopped"
        super().__init__(what, f"measure it with: vidnst measure {shlex.quote(str(output))}")
