"""All files that a request reads, so that what it writes spares them."""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from vidnst.config import RenderConfig
from vidnst.config.authority import AUTHORITIES
from vidnst.config.style import Style, as_style
from vidnst.errors import ConfigError, SourceError
from vidnst.media.input.image_files import list_images
from vidnst.media.output.spared_inputs import check_spares_inputs
from vidnst.runs.layout import OWN_NAMES, REPORT, RunLayout
from vidnst.runs.request import Request

_KEYS = ("RAY_AUTH_TOKEN_PATH", "RAY_TLS_SERVER_CERT", "RAY_TLS_SERVER_KEY", "RAY_TLS_CA_CERT")
"""Environment variables that name files with secrets."""


def named_inputs(
    sources: str | Path | Sequence[str | Path], styles: Iterable[str | Style], config: RenderConfig
) -> tuple[Path, ...]:
    """Return the files and folders that a source, styles and settings name, and those of the environment.

    What is missing, or cannot be read, is passed over: it is named when it is opened.
    """
    texts = [sources] if isinstance(sources, str | Path) else list(sources)
    for style in styles:
        with suppress(ConfigError):
            texts.append(as_style(style).path)
    texts += settings_paths(config)
    named = [path for text in texts for path in files_of(text)]
    return (*named, *_weights_of(config), *_secrets())


def settings_paths(config: RenderConfig) -> tuple[str, ...]:
    """Return the paths of masks, of painted keys and the folder of them, and of the sound's style."""
    one_each = (config.keys.folder, config.audio.style)
    named = (*config.regions.masks.values(), *config.keys.pictures.values())
    return (*named, *(path for path in one_each if path is not None))


def run_files(folder: Path) -> tuple[Path, ...]:
    """Return the records and frames of a run, but for its report."""
    layout = RunLayout(folder)
    names = OWN_NAMES - {REPORT}
    return (*(folder / name for name in names), *files_of(layout.frames), *files_of(layout.finished))


def check_spared(request: Request, inputs: Iterable[str | Path]) -> None:
    """Make sure that a render replaces nothing that it reads, in its output or its run folder.

    Args:
        request: what is rendered.
        inputs: all that is read.

    Raises:
        OutputError: it would.
    """
    written = (request.output, *request.writes)
    check_spares_inputs(written, inputs, run_folders=[request.folder], own_names=OWN_NAMES, joins=True)


def files_of(text: str | Path) -> Iterator[Path]:
    """Yield what a text stands for: a file or folder, and the pictures of a folder, a glob or a pattern."""
    path = Path(text)
    with suppress(RuntimeError):  # no such user
        path = path.expanduser()
    yield path
    if not os.path.isfile(path):  # False, too, for names that no system has
        with suppress(SourceError, OSError, ValueError):
            yield from list_images(path, gaps=True) or ()


def _weights_of(config: RenderConfig) -> Iterator[Path]:
    for key, rule in AUTHORITIES.items():
        if rule.by_digest:
            section, name = key.split(".")
            values = (getattr(getattr(config, section), name), os.environ.get(rule.environment or "_"))
            yield from (Path(value) for value in values if value and value not in rule.harmless)


def _secrets() -> Iterator[Path]:
    with suppress(RuntimeError):  # no home
        yield Path("~/.ray/auth_token").expanduser()
    yield from (Path(value) for value in map(os.environ.get, _KEYS) if value)
