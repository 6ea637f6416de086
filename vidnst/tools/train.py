"""Trains a transform network on a clip, and writes it to a file with which other clips can be painted."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

from vidnst.errors import OutputError
from vidnst.events import Cancelled, OnEvent, ignore
from vidnst.files.atomic_write import write_bytes_atomically
from vidnst.files.file_names import derived_name
from vidnst.media.output.preflight import check_file
from vidnst.rendering.early_workers import EarlyWorkers
from vidnst.rendering.pipeline import train_network
from vidnst.rendering.prepared_render import PreparedRender
from vidnst.rendering.run_setup import prepare_render
from vidnst.rendering.styles.style_spec import needs_guidance
from vidnst.runs.layout import run_folder_of
from vidnst.runs.removal import remove_run
from vidnst.runs.request import Request
from vidnst.style.transform.network_file import NetworkFile, encode_network, read_network_file

_SUFFIX = ".safetensors"


@dataclass(frozen=True, slots=True)
class TrainRequest:
    """A request to train a network: the clip, the styles, the settings and the file to write."""

    render: Request
    """Source, styles and settings, with schedule.kind network; its output is not written."""
    output: Path
    """The file to write."""
    command: str = ""
    """The command line, for the file's notes."""


def train(
    request: TrainRequest,
    *,
    overwrite: bool = False,
    on_event: OnEvent = ignore,
    cancelled: Cancelled | None = None,
) -> NetworkFile:
    """Train a network and write its file; the same request resumes after a stop, from the folder next to the file.

    Args:
        request: what to train on.
        overwrite: replace a file that exists.
        on_event: hears of the progress.
        cancelled: asked several times a second; True stops the training.

    Raises:
        OutputError: the file exists, or cannot be written there.
        VidnstError: another reason, as for a render.
        CancelledError: `cancelled` returned True.
    """
    if request.output.suffix != _SUFFIX:
        raise OutputError(f"{request.output} does not end in {_SUFFIX}", "give such a name with -o")
    folder = run_folder_of(request.output)
    check_file(request.output, overwrite=overwrite)
    # A name for frames, of which none is painted.
    frames = request.output.with_name(derived_name(request.output.stem, suffix="-frames"))
    with EarlyWorkers(cancelled=cancelled) as workers:
        render = prepare_render(
            replace(request.render, output=frames, work_dir=folder, writes=(request.output,)),
            overwrite=True,
            start_over=overwrite,
            frames_only=True,
            on_usable=workers.begin,
            on_event=on_event,
            cancelled=cancelled,
        )
        with render.store, render.recorder.watching():
            vector = train_network(render, cancelled, workers)
            guided = needs_guidance(render.styles, render.config)
            data = encode_network(vector, _notes(render, request), styles=len(render.styles) if guided else 1)
    write_bytes_atomically(request.output, data)
    remove_run(folder)
    return read_network_file(request.output)


def _notes(render: PreparedRender, request: TrainRequest) -> dict[str, str]:
    config, marks = render.config, render.checked.manifest
    settings = config.model_dump(mode="json", include={"losses": True, "styles": True, "schedule": {"training"}})
    return {
        "trained_on": f"{render.clip.source}, frames {render.start} to {render.end - 1}",
        "size": "{}x{}".format(*render.size),
        "styles": ", ".join(Path(style.style.path).name for style in render.styles),
        "judge": f"{config.model.backbone}, {marks.weights_title}",
        "settings": json.dumps(settings),
        "command": request.command,
    }
