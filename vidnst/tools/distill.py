"""Distills slim from VGG19: reads the training images, trains the student, and writes its weights and a model card."""

import dataclasses
import fnmatch
import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file

from vidnst.atomic_write import write_atomically, write_bytes_atomically
from vidnst.errors import CancelledError, OutputError, RunError
from vidnst.events import Cancelled, OnEvent, Stage, TrainingStepDone, ignore
from vidnst.frames import Pixels, spread_over
from vidnst.media.images import list_images
from vidnst.media.input.frame_reader import FrameReader, fit_size
from vidnst.media.input.probe import probe
from vidnst.style.distill.crops import Crops
from vidnst.style.distill.distillation import Distillation, DistillSettings
from vidnst.style.distill.evaluate import head_correlations
from vidnst.style.distill.export import card_text, slim_features, to_safetensors
from vidnst.style.network.weights import Features, WeightsReport, load_features, resolve_weights, verify_weights
from vidnst.weights_file import open_weights, read_metadata, weights_fingerprint

_LONGEST_SIDE_PX = 1280
"""Larger images are scaled down as they are read."""
_CHECKPOINT_STEPS = 200
_MAX_CHECKPOINT_BYTES = 2**28
_RESTART_REMEDY = "start over with --restart, or give another -o"


@dataclass(frozen=True, slots=True)
class DistillRequest:
    """The user's settings of a distillation."""

    teacher: str | None
    """VGG19's weights, as for a render."""
    images: tuple[str, ...]
    """Folders, globs, pictures and clips."""
    output: Path
    """A safetensors file; its model card is written next to it as Markdown."""
    settings: DistillSettings
    held_out: tuple[str, ...] = ()
    """Patterns of file names that the student is not trained on but evaluated with."""
    clip_frames: int = 8
    """Number of evenly spread frames taken from each clip."""
    threads: int | None = None
    """Threads of torch; None leaves them as they are. Rounding depends on their number."""
    command: str = ""
    """The command line, for the model card."""


@dataclass(frozen=True, slots=True)
class NamedImage:
    """An image to train on or to evaluate with."""

    name: str
    pixels: Pixels


def distill(
    request: DistillRequest,
    *,
    restart: bool = False,
    on_event: OnEvent = ignore,
    cancelled: Cancelled | None = None,
) -> WeightsReport:
    """Train slim and write its weights file; resumes from the checkpoint next to it, to the same bytes.

    Raises:
        VidnstError: an image, the teacher or the output cannot be used, or the checkpoint is of another student.
        CancelledError: `cancelled` returned True; the same request resumes.
    """
    _check_output(request.output)
    if request.threads is not None:
        torch.set_num_threads(request.threads)
    training, held_out = read_images(request, on_event)
    settings = request.settings
    weights = resolve_weights(request.teacher)
    teacher = load_features(weights, settings.learn_to)
    crops = Crops([image.pixels for image in training], side_px=settings.crop_px, seed=settings.seed)
    distillation = Distillation(teacher, crops, settings)
    notes = _checkpoint_notes(request, teacher, training)
    checkpoint = request.output.with_suffix(".checkpoint.safetensors")
    if checkpoint.exists() and not restart:
        _restore(distillation, checkpoint, notes)
    _train(distillation, checkpoint, notes, on_event, cancelled or (lambda: False))
    correlations = head_correlations(distillation.student, distillation.teacher, [image.pixels for image in held_out])
    features = slim_features(distillation.student)
    card = {
        **notes,
        "teacher_file": Path(weights).name,
        "learned_from": f"{len(training)} pictures: {', '.join(image.name for image in training)}",
        "held_out": ", ".join(image.name for image in held_out) or "none",
        "likeness": json.dumps({name: round(value, 4) for name, value in correlations.items()}),
        "command": request.command,
    }
    write_bytes_atomically(request.output, to_safetensors(features, card))
    report = verify_weights(request.output, backbone="slim")
    text = card_text(request.output.name, report.fingerprint, report.notes)
    write_bytes_atomically(request.output.with_suffix(".md"), text.encode())
    return report


def read_images(request: DistillRequest, on_event: OnEvent = ignore) -> tuple[list[NamedImage], list[NamedImage]]:
    """Read the images to train on, and those that are held out.

    Raises:
        SourceError: one of them cannot be read.
    """
    files = [path for text in request.images for path in list_images(text) or (Path(text).expanduser(),)]
    training: list[NamedImage] = []
    held_out: list[NamedImage] = []
    for number, path in enumerate(files):
        on_event(Stage("reading", number, len(files)))
        is_held_out = any(fnmatch.fnmatch(path.name, pattern) for pattern in request.held_out)
        (held_out if is_held_out else training).extend(_read_file(path, request.clip_frames))
    on_event(Stage("reading", len(files), len(files)))
    return training, held_out


def _read_file(path: Path, clip_frames: int) -> list[NamedImage]:
    clip = probe(path)
    reader = FrameReader(clip, size=fit_size(clip.width, clip.height, _LONGEST_SIDE_PX), on_bad_frame="repeat")
    if clip.frame_count == 1:
        return [NamedImage(path.name, reader.read(0).pixels)]
    indices = spread_over(0, clip.frame_count, clip_frames)
    return [NamedImage(f"{path.name}:{index}", reader.read(index).pixels) for index in indices]


def _check_output(output: Path) -> None:
    if output.suffix != ".safetensors":
        raise OutputError(f"{output} does not end in .safetensors", "give such a name with -o")
    if not output.absolute().parent.is_dir():
        raise OutputError(f"there is no folder {output.parent} to write {output.name} into", "make it first")


def _checkpoint_notes(request: DistillRequest, teacher: Features, images: Sequence[NamedImage]) -> dict[str, str]:
    """Everything that decides the student's bytes, as texts for the metadata of a safetensors file."""
    digest = hashlib.sha256()
    for image in images:
        digest.update(f"{image.pixels.shape}{image.pixels.dtype}".encode())
        digest.update(image.pixels.tobytes())
    return {
        "teacher": weights_fingerprint(teacher),
        "pictures": digest.hexdigest(),
        "settings": json.dumps(dataclasses.asdict(request.settings)),
        "threads": str(torch.get_num_threads()),
    }


def _restore(distillation: Distillation, checkpoint: Path, notes: dict[str, str]) -> None:
    with open_weights(
        checkpoint, network="student", max_bytes=_MAX_CHECKPOINT_BYTES, remedy=_RESTART_REMEDY
    ) as tensors:
        state = dict(tensors)
    saved_notes = read_metadata(checkpoint)
    differing = [name for name, note in notes.items() if saved_notes.get(name) != note]
    if differing:
        raise RunError(
            f"the checkpoint {checkpoint} is of another student: other {', '.join(differing)}", _RESTART_REMEDY
        )
    distillation.restore(state)


def _train(
    distillation: Distillation, checkpoint: Path, notes: dict[str, str], on_event: OnEvent, cancelled: Cancelled
) -> None:
    began, first, steps = time.monotonic(), distillation.step, distillation.settings.steps
    while distillation.step < steps:
        if cancelled():
            _save(distillation, checkpoint, notes)
            raise CancelledError(
                f"stopped after {distillation.step} of {steps} steps", "give the same command to resume"
            )
        lesson = distillation.advance()
        seconds = time.monotonic() - began
        on_event(TrainingStepDone(lesson.step, steps, lesson.loss, lesson.errors, seconds, first))
        if lesson.step % _CHECKPOINT_STEPS == 0 or lesson.step == steps:
            _save(distillation, checkpoint, notes)


def _save(distillation: Distillation, checkpoint: Path, notes: dict[str, str]) -> None:
    write_atomically(checkpoint, lambda part: save_file(distillation.state(), part, metadata=notes))
