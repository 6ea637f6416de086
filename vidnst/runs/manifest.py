"""The record of what a run renders: enough to resume it, and to find out whether a request is for the same render."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from vidnst.config.base import PathText
from vidnst.config.style import Style
from vidnst.errors import RunError
from vidnst.files.file_names import reason_for_no_path
from vidnst.runs.layout import RunLayout
from vidnst.runs.safe_files import read_file

_MAX_BYTES = 64 << 20
_NOT_COMPARED = frozenset({"input.on_bad_frame"})
"""Settings that older records list, although they leave finished frames as they are."""
_RANGE = frozenset({"input.start", "input.end"})


def _path(text: str) -> str:
    if reason := reason_for_no_path(text):
        raise ValueError(f"{text[:100]!r} is no path: {reason}")
    return text


_Path = Annotated[PathText, AfterValidator(_path)]


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class StyleRecord(_Record):
    """A style of a run."""

    path: _Path
    fingerprint: str
    weight: float
    at: str | None = None
    """The moment from which it applies, as the user wrote it; None is the start."""
    shots: tuple[int, ...] = ()
    """Shots that it applies to; empty for all."""
    region: str | None = None

    @property
    def style(self) -> Style:
        """The style as it was asked for, with its absolute path."""
        return Style(self.path, self.weight, self.at, self.shots, self.region)


class Look(_Record):
    """Everything that decides the bytes of the frames."""

    config: dict[str, Any]
    """The sections of the configuration that decide the bytes of frames, as JSON values."""
    source: str
    """Fingerprint of the source."""
    styles: tuple[StyleRecord, ...]
    masks: dict[str, str] = {}
    """Fingerprint of each region's mask."""
    keys: dict[str, str] = {}
    """Fingerprint of each painted key, by its frame."""
    backbone: str
    """Name of the network."""
    weights: str
    """Fingerprint of the network's weights."""
    flow_weights: str = "none"
    """Fingerprint of RAFT's weights; `none` if flow is estimated without a network."""
    network: str = "none"
    """Fingerprint of the transform network that was given; `none` if there is none, or it is trained on the clip."""
    sound: str = "none"
    """Fingerprint of the sound whose texture the soundtrack gets; `none` if it stays as it is."""


class Manifest(_Record):
    """The contents of `run.json`."""

    format: Literal[1] = 1
    versions: dict[str, str]
    """Versions of vidnst and of the libraries that compute."""
    config: dict[str, Any]
    """The resolved configuration, as JSON values."""
    look: Look
    sources: tuple[_Path, ...] = Field(min_length=1)
    """The source as the user named it; several where they named several files."""
    weights: _Path | None = None
    """The network's weights as the user named them: the absolute path of a file, `random`, `torchvision`, or None."""
    weights_title: PathText = ""
    """What they turned out to be: a package with its version, a file, `random`, or `none`."""
    raft_weights: _Path | None = None
    """Path of RAFT's weights."""
    network: _Path | None = None
    """Path of the transform network that was given."""
    output: _Path

    @classmethod
    def read(cls, folder: Path) -> "Manifest":
        """Read the `run.json` of a run folder.

        Raises:
            RunError: it cannot be read, or has another format.
        """
        path = RunLayout(folder).manifest
        try:
            return cls.model_validate(json.loads(read_file(path, max_bytes=_MAX_BYTES)))
        except (OSError, ValueError, RecursionError) as error:
            reason = _reason(error)
            raise RunError(
                f"{path} cannot be read as the record of a run: {reason}",
                "start afresh with --restart, or choose another folder with --work-dir",
            ) from error

    def to_json(self) -> bytes:
        """The contents of the file: ASCII, in which also names of files that are not UTF-8 survive."""
        return json.dumps(self.model_dump(mode="json"), indent=2).encode()

    def changes(self, other: "Manifest", *, any_range: bool = False) -> list[str]:
        """Describe each difference from `other` that changes the frames in a few words; empty if there is none.

        Args:
            any_range: True if another range of the source changes no frame.
        """
        ignored = _NOT_COMPARED | (_RANGE if any_range else frozenset())
        return [
            *_config_changes(self.look.config, other.look.config, ignored),
            *_style_changes(self.look.styles, other.look.styles),
            *_mask_changes(self.look.masks, other.look.masks),
            *_key_changes(self.look.keys, other.look.keys),
            *_other_bytes("source", self.look.source, other.look.source, Path(other.sources[0]).name),
            *self._network_changes(other),
            *self._flow_changes(other),
            *_other_bytes("network", self.look.network, other.look.network, Path(other.network or "").name),
            *self._sound_changes(other),
        ]

    def _network_changes(self, other: "Manifest") -> Iterator[str]:
        old, new = self.look, other.look
        if old.backbone != new.backbone:  # then the weights differ, too
            yield f"model.backbone: {old.backbone} -> {new.backbone}"
        else:
            yield from _other_bytes("weights", old.weights, new.weights, Path(other.weights or "").name)

    def _flow_changes(self, other: "Manifest") -> Iterator[str]:
        old, new = self.look.flow_weights, other.look.flow_weights
        if "none" not in (old, new):  # else the method has changed, which the settings say
            yield from _other_bytes("RAFT weights", old, new, Path(other.raft_weights or "").name)

    def _sound_changes(self, other: "Manifest") -> Iterator[str]:
        old, new = self.look.sound, other.look.sound
        if "none" not in (old, new):  # else the settings say it
            yield from _other_bytes("sound", old, new, Path(_flat_value(other.config, "audio", "style")).name)


def _flat_value(values: Mapping[str, Any], section: str, name: str) -> str:
    inner = values.get(section)
    return str(inner.get(name) or "") if isinstance(inner, Mapping) else ""


def _reason(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        return f"{where[:100]}: {first['msg'].removeprefix('Value error, ')}"[:500]
    return str(error.strerror) if isinstance(error, OSError) else str(error).splitlines()[0]


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _config_changes(old: Mapping[str, Any], new: Mapping[str, Any], ignored: frozenset[str]) -> Iterator[str]:
    before, after = dict(_flat(old)), dict(_flat(new))
    for key in sorted((before.keys() | after.keys()) - ignored):
        if before.get(key) != after.get(key) or (key in before) != (key in after):
            yield f"{key}: {_word(before, key)} -> {_word(after, key)}"


def _word(values: Mapping[str, Any], key: str) -> str:
    if key not in values:
        return "not set"
    return "none" if values[key] is None else str(values[key])


def _style_changes(old: Sequence[StyleRecord], new: Sequence[StyleRecord]) -> Iterator[str]:
    if len(old) != len(new):
        yield f"{len(old)} styles -> {len(new)}"
        return
    for before, after in zip(old, new, strict=True):
        was, now = Path(before.path).name, Path(after.path).name
        if before.fingerprint != after.fingerprint:
            yield f"style {now} has other bytes" if was == now else f"style {was} -> {now}"
        if before.weight != after.weight:
            yield f"weight of style {now}: {before.weight:g} -> {after.weight:g}"
        for what, one, two in (
            ("moment", before.at or "always", after.at or "always"),
            ("shots", _listed(before.shots), _listed(after.shots)),
            ("region", before.region or "rest", after.region or "rest"),
        ):
            if one != two:
                yield f"{what} of style {now}: {one} -> {two}"


def _listed(shots: Sequence[int]) -> str:
    return ",".join(map(str, shots)) or "all"


def _mask_changes(old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[str]:
    for name in sorted(old.keys() | new.keys()):
        if name not in new or name not in old:
            yield f"region {name}: {'added' if name in new else 'gone'}"
        elif old[name] != new[name]:
            yield f"the mask of region {name} has other bytes"


def _key_changes(old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[str]:
    for frame in sorted(old.keys() | new.keys(), key=lambda text: (len(text), text)):
        if frame not in new or frame not in old:
            yield f"key of frame {frame}: {'added' if frame in new else 'gone'}"
        elif old[frame] != new[frame]:
            yield f"the key of frame {frame} has other bytes"


def _other_bytes(what: str, old: str, new: str, name: str) -> Iterator[str]:
    if old != new:
        yield f"{what} {name} has other bytes" if name else f"{what}: other bytes"
