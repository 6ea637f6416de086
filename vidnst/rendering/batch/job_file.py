"""A file of jobs: sources times styles times presets, read and checked, each with an output of its own."""

import glob
import json
import os
import string
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, product
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from vidnst.config import FarmConfig, RenderConfig
from vidnst.config.authority import Origin, admit
from vidnst.config.explanations import reason_of
from vidnst.config.input import KeysConfig
from vidnst.config.loader import build_config, dotted, load_config, read_yaml, with_settings
from vidnst.config.style import parse_style
from vidnst.errors import ConfigError, OutputError, SourceError
from vidnst.files.file_names import reason_for_no_path
from vidnst.media.input.bounded_glob import bounded_glob
from vidnst.media.output.spared_inputs import check_spares_inputs
from vidnst.runs.layout import OWN_NAMES
from vidnst.runs.request import Request
from vidnst.runs.request_inputs import named_inputs, settings_paths

_T = TypeVar("_T")

_MOST_CLIPS = 20_000
_FIELDS = ("source", "folder", "style", "preset", "name", "n")


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Defaults(_Part):
    """Values for all entries that do not give their own."""

    preset: str | None = None
    set: dict[str, Any] = {}
    """Settings, nested or dotted; `farm` only here."""
    folder: str = "."
    """Folder of the outputs, in the job file's folder or below it."""
    output: str = "{source}-{style}.mp4"
    """Template of an output's name inside that folder."""


class JobEntry(_Part):
    """Clips with the same settings."""

    sources: list[str] = Field(min_length=1)
    """Videos, folders, printf patterns; globs, of which every file is a clip. From the file's folder."""
    styles: list[str | list[str]] = []
    """Each as `--style` takes it, or a list of such for a blend. Empty only with keys, which are the style then."""
    keys: str | dict[Annotated[int, Field(ge=0)], str] = {}
    """Frames that a person has painted, by number, or a folder of them. From the file's folder."""
    presets: list[str | None] = Field([None], min_length=1)
    set: dict[str, Any] = {}
    output: str | None = None
    priority: int = Field(0, ge=-1000, le=1000)
    """Jobs of higher priority go first."""
    name: str = Field("", max_length=200)

    @field_validator("sources", "styles", "presets", mode="before")
    @classmethod
    def _one_is_a_list(cls, value: object) -> object:
        return [value] if isinstance(value, str) else value


class JobFile(_Part):
    """The whole file."""

    defaults: Defaults = Defaults()
    jobs: list[JobEntry] = Field(min_length=1)


@dataclass(frozen=True, slots=True)
class ClipSpec:
    """One clip to render."""

    name: str
    """Its output, from the output folder: no two clips have the same."""
    entry: str
    """The name of the entry that it comes from, or that entry's place."""
    preset: str
    priority: int
    request: Request

    @property
    def source(self) -> str:
        """The source as one text."""
        return str(self.request.source)


@dataclass(frozen=True, slots=True)
class Jobs:
    """The clips and the farm settings of a job file."""

    clips: tuple[ClipSpec, ...]
    farm: FarmConfig


def _texts(value: object) -> Iterator[str]:
    """All texts in a value of a job file."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        yield from (text for pair in value.items() for part in pair for text in _texts(part))
    elif isinstance(value, list):
        yield from (text for part in value for text in _texts(part))


def read_jobs(path: Path, *, farm: Mapping[str, Any] | None = None) -> Jobs:
    """Read a job file.

    Args:
        path: a YAML file; paths in it are relative to its folder.
        farm: settings of the `farm` section that override the file's.

    Raises:
        ConfigError: the first mistake, with its place in the file.
    """
    values = read_yaml(path)
    for text in _texts(values):
        if reason := reason_for_no_path(text):
            raise ConfigError(f"{path}: {text[:80]!r} cannot be used: {reason}", "correct it")
    try:
        file = JobFile.model_validate(values)
    except ValidationError as error:
        raise _explain(path, error) from error
    base, defaults = Path(os.path.abspath(path)).parent, file.defaults
    _check_folder(path, base, defaults.folder)
    given = {f"farm.{key}": value for key, value in (farm or {}).items()}
    shared = _farm(f"{path}: defaults", defaults, given)
    clips: dict[str, ClipSpec] = {}
    for number, entry in enumerate(file.jobs):
        place = f"{path}: jobs[{number}]" + (f" ({entry.name})" if entry.name else "")
        label = entry.name or f"jobs[{number}]"
        for clip in _clips(entry, defaults, shared, base=base, place=place, label=label):
            if clip.name in clips:
                other = clips[clip.name]
                raise ConfigError(
                    f"{place}: the output {clip.name} of {clip.source} is that of {other.source} ({other.entry}), too",
                    f"put more of {', '.join(f'{{{field}}}' for field in _FIELDS)} into the output's template",
                )
            clips[clip.name] = clip
            if len(clips) > _MOST_CLIPS:
                raise ConfigError(f"{path} asks for more than {_MOST_CLIPS} clips", "split it")
    _check_spared(path, [clip.request for clip in clips.values()])
    return Jobs(tuple(clips.values()), shared)


def _check_folder(path: Path, base: Path, folder: str) -> None:
    """Make sure that outputs lie below the job file: one that was sent along must not choose any other place."""
    real, home = Path(os.path.realpath(base / folder)), Path(os.path.realpath(base))
    if os.path.isabs(folder) or not real.is_relative_to(home):
        raise ConfigError(
            f"{path}: defaults.folder = {folder!r} is not below the folder of the job file",
            "name a folder there, or move the job file to where the outputs are to be",
        )


def _check_spared(path: Path, requests: Sequence[Request]) -> None:
    """Make sure that no job replaces what it or another job reads, or the file of the jobs.

    Raises:
        ConfigError: one would.
    """
    sources = dict.fromkeys(str(request.source) for request in requests)
    styles = dict.fromkeys(style for request in requests for style in request.styles)
    inputs = {path, *named_inputs(tuple(sources), styles, RenderConfig())}
    for request in requests:
        inputs.update(map(Path, settings_paths(request.config)))
    folders = [request.folder for request in requests]
    try:
        outputs = [request.output for request in requests]
        check_spares_inputs(outputs, inputs, run_folders=folders, own_names=OWN_NAMES, joins=True)
    except OutputError as error:
        raise ConfigError(f"{path}: {error.what}", "give the jobs another folder or output") from error


def _clips(
    entry: JobEntry, defaults: Defaults, farm: FarmConfig, *, base: Path, place: str, label: str
) -> Iterator[ClipSpec]:
    own = dict(dotted(entry.set))
    if strange := next((key for key in own if key.split(".")[0] == "farm"), None):
        raise ConfigError(f"{place}: set.{strange} is for all jobs together", "put it into defaults.set")
    general = {key: value for key, value in dotted(defaults.set) if not key.startswith("farm.")}
    folder = base / defaults.folder
    template = defaults.output if entry.output is None else entry.output
    fields = _placed(place, _template_fields, template)
    sources = [source for number, text in enumerate(entry.sources) for source in _sources(text, base, place, number)]
    configs = {}
    for preset in entry.presets:
        chosen = defaults.preset if preset is None else preset
        config = _config(place, chosen, general | own)
        keys = _keys(entry, config, base)
        configs[preset] = (chosen or "default", config.model_copy(update={"farm": farm, "keys": keys}))
    if not entry.styles and not entry.keys:
        raise ConfigError(f"{place}: styles is missing", "name a style picture, or paint keys")
    looks: list[tuple[str, tuple[str, ...]]] = [("keys", ())] if not entry.styles else []
    looks += [_styles(style, base, f"{place}: styles[{number}]") for number, style in enumerate(entry.styles)]
    for number, (source, (look, texts), preset) in enumerate(product(sources, looks, entry.presets), start=1):
        named, config = configs[preset]
        known = {
            "source": Path(source).stem.replace("%", ""),
            "folder": Path(source).parent.name,
            "style": look,
            "preset": named,
            "name": entry.name or Path(source).stem,
            "n": number,
        }
        name = template.format(**{field: known[field] for field in fields})
        output = _placed(place, _inside, folder, name)
        yield ClipSpec(
            output.relative_to(os.path.abspath(folder)).as_posix(),
            label,
            named,
            entry.priority,
            Request(source, texts, output, config),
        )


def _sources(text: str, base: Path, place: str, number: int) -> list[str]:
    """The sources that a text stands for: the files of a glob, or the one that it names, there or not."""
    whole = os.path.abspath(base / text)
    if os.path.lexists(whole) or not glob.has_magic(text):
        return [whole]
    where = f"{place}: sources[{number}] = {text!r}"
    try:
        found = sorted(str(path) for path in islice(bounded_glob(base, Path(text)), _MOST_CLIPS + 1))
    except SourceError as error:
        raise ConfigError(f"{where}: {error.what}", error.remedy) from error
    if not found:
        raise ConfigError(f"{where} fits no file in {base}", "correct the pattern")
    if len(found) > _MOST_CLIPS:
        raise ConfigError(f"{where} fits more than {_MOST_CLIPS} files", "split the file, or name fewer clips")
    return [os.path.abspath(name) for name in found]


def _styles(style: str | Sequence[str], base: Path, place: str) -> tuple[str, tuple[str, ...]]:
    """The name of a look, and its texts with absolute paths."""
    given = [style] if isinstance(style, str) else list(style)
    if not given:
        raise ConfigError(f"{place} is empty", "name a style picture")
    texts = tuple(os.path.join(base, text) for text in given)
    parsed = [_placed(place, parse_style, text) for text in texts]
    return "+".join(Path(part.path).stem for part in parsed), texts


def _keys(entry: JobEntry, config: RenderConfig, base: Path) -> KeysConfig:
    """The settings of an entry's painted keys, with paths from the folder of the job file."""
    if isinstance(entry.keys, str):
        return config.keys.model_copy(update={"folder": os.path.join(base, entry.keys)})
    pictures = {frame: os.path.join(base, path) for frame, path in entry.keys.items()}
    return config.keys.model_copy(update={"pictures": config.keys.pictures | pictures})


def _template_fields(template: str) -> list[str]:
    known = ", ".join(f"{{{field}}}" for field in _FIELDS)
    try:
        parts = [part for part in string.Formatter().parse(template) if part[1] is not None]
    except ValueError as error:
        raise ConfigError(f"output = {template!r}: {error}", f"known there: {known}") from error
    for _, field, form, conversion in parts:
        plain = field in _FIELDS and not conversion and (not form or (field == "n" and form.isdecimal()))
        if not plain or len(form or "") > 2:
            raise ConfigError(f"output = {template!r}: unknown part {{{field}}}", f"known there: {known}, {{n:03}}")
    return [field for _, field, _, _ in parts if field]


def _inside(folder: Path, name: str) -> Path:
    """The path of an output, which must lie in the folder, whatever links are on the way."""
    if "\0" in f"{folder}{name}":
        raise ConfigError(f"the output {name!r} in {str(folder)!r} has a zero byte in its name", "leave it out")
    path = Path(os.path.abspath(folder / name))
    home = Path(os.path.realpath(folder))
    real = Path(os.path.realpath(path))
    if Path(os.path.abspath(folder)) not in path.parents or (home not in real.parents):
        raise ConfigError(f"the output {name!r} lies outside of the output folder {folder}", "correct the template")
    return path


def _farm(place: str, defaults: Defaults, given: Mapping[str, Any]) -> FarmConfig:
    """The farm settings of the file, with those that the person has given over them."""
    config = _config(place, defaults.preset, dict(dotted(defaults.set)), given)
    return _placed(place, with_settings, config, given).farm


def _config(place: str, preset: str | None, settings: Mapping[str, Any], given: Container[str] = ()) -> RenderConfig:
    """The settings of a place in the file over a preset, as far as a file of jobs may decide them."""
    values = _placed(place, _values, preset, settings)
    return build_config(admit(values, file=place, origin=Origin.JOBS, given=given))


def _values(preset: str | None, settings: Mapping[str, Any]) -> dict[str, Any]:
    texts = []
    for key, value in settings.items():
        try:
            texts.append(f"{key}={json.dumps(value, allow_nan=False)}")  # JSON is YAML
        except (TypeError, ValueError) as error:
            raise ConfigError(f"{key} = {value!r} is no setting", "write a number, a text or a list") from error
    return load_config(preset=preset, assignments=texts).model_dump(mode="json")


def _placed(place: str, make: Callable[..., _T], *arguments: Any) -> _T:
    """Call `make`, and add the place in the file to its errors."""
    try:
        return make(*arguments)
    except ConfigError as error:
        raise ConfigError(f"{place}: {error.what}", error.remedy) from error


def _explain(path: Path, error: ValidationError) -> ConfigError:
    first = error.errors(include_url=False)[0]
    place = ""
    for part in first["loc"]:
        if isinstance(part, int):
            place += f"[{part}]"
        elif part in ("str", "list[str]", "[key]"):
            continue
        else:
            place += f".{part}" if place else str(part)
    if first["type"] == "extra_forbidden":
        model = JobEntry if place.startswith("jobs[") else Defaults if place.startswith("defaults.") else JobFile
        return ConfigError(f"{path}: unknown key {place}", f"known there: {', '.join(model.model_fields)}")
    if first["type"] == "missing":
        return ConfigError(f"{path}: {place} is missing", "add it")
    return ConfigError(f"{path}: {place} = {str(first['input'])[:100]!r}: {reason_of(first)}", "correct it")
