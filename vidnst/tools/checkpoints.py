"""Trainings that continue from a checkpoint, to the same bytes: the loop around their steps, and its file."""

import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Literal, Protocol

from safetensors.torch import save_file
from torch import Tensor

from vidnst.devices.determinism import reproducible_mode
from vidnst.errors import CancelledError, OutputError, RunError
from vidnst.events import Cancelled, OnEvent, TrainingStepDone
from vidnst.files.atomic_write import write_atomically
from vidnst.files.weights_file import open_weights, read_metadata
from vidnst.media.output.preflight import check_file
from vidnst.media.output.spared_inputs import check_spares_inputs
from vidnst.runs.request_inputs import files_of

_STEPS_BETWEEN = 200
_MAX_BYTES = 2**28
_REMEDY = "start over with --restart, or give another -o"


class Resumable(Protocol):
    """A training that can be stored between two steps."""

    step: int
    """Number of steps done."""

    def state(self) -> dict[str, Tensor]:
        """All that the next step depends on besides settings and pictures."""

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Restore what `state` returned; RunError if it belongs to another network."""


class Checkpoint:
    """The file of a training's state.

    Args:
        path: of the file.
        network: what is trained, in a word.
        notes: everything that decides the result's bytes.
    """

    def __init__(self, path: Path, *, network: str, notes: Mapping[str, str]) -> None:
        self._path, self._network, self._notes = path, network, dict(notes)

    def restore(self, training: Resumable) -> None:
        """Continue where the file was written; without a file, nothing happens.

        Raises:
            WeightsError: the file is damaged.
            RunError: it is of another training.
        """
        if not self._path.exists():
            return
        with open_weights(self._path, network=self._network, max_bytes=_MAX_BYTES, remedy=_REMEDY) as tensors:
            state = dict(tensors)
        saved = read_metadata(self._path)
        differing = [name for name, note in self._notes.items() if saved.get(name) != note]
        if differing:
            raise RunError(
                f"the checkpoint {self._path} is of another {self._network}: other {', '.join(differing)}", _REMEDY
            )
        training.restore(state)

    def save(self, training: Resumable) -> None:
        """Write the file."""
        write_atomically(self._path, lambda part: save_file(training.state(), part, metadata=self._notes))


def check_network_output(output: Path, *, overwrite: bool) -> None:
    """Make sure that a network's file and its card can be written.

    Args:
        output: the file; its card has the same name and the suffix .md.
        overwrite: True to allow replacing them.

    Raises:
        OutputError: the file does not end in .safetensors, or one of them exists or cannot be written.
    """
    if output.suffix != ".safetensors":
        raise OutputError(f"{output} does not end in .safetensors", "give such a name with -o")
    for path in (output, output.with_suffix(".md")):
        check_file(path, overwrite=overwrite)


def check_spared(output: Path, texts: Iterable[str], weights: Path | Literal["random"]) -> None:
    """Make sure that a network's file, its card and its checkpoint replace nothing that the training reads.

    Args:
        output: the file.
        texts: pictures, folders, globs and clips.
        weights: the weights of the network that judges.

    Raises:
        OutputError: one of them would.
    """
    inputs = [path for text in texts for path in files_of(text)]
    outputs = (output, output.with_suffix(".md"), output.with_suffix(".checkpoint.safetensors"))
    check_spares_inputs(outputs, [*inputs, weights] if isinstance(weights, Path) else inputs)


def train_with_checkpoints(
    training: Resumable,
    advance: Callable[[], tuple[float, dict[str, float]]],
    *,
    steps: int,
    checkpoint: Checkpoint,
    on_event: OnEvent,
    cancelled: Cancelled | None,
) -> None:
    """Do the steps that are left, and write the checkpoint from time to time and at the end.

    Args:
        advance: does a step; returns its loss, and what else is shown, by name.
        steps: of the whole training.

    Raises:
        CancelledError: `cancelled` returned True; the checkpoint is written.
    """
    began, first = time.monotonic(), training.step
    while training.step < steps:
        if cancelled is not None and cancelled():
            checkpoint.save(training)
            raise CancelledError(f"stopped after {training.step} of {steps} steps", "give the same command to resume")
        with reproducible_mode():
            loss, errors = advance()
        on_event(TrainingStepDone(training.step, steps, loss, errors, time.monotonic() - began, first))
        if training.step % _STEPS_BETWEEN == 0 or training.step == steps:
            checkpoint.save(training)
