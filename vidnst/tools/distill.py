"""Distills slim from VGG19: reads the training images, trains the student, and writes its weights and a model card."""

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from vidnst.events import Cancelled, OnEvent, ignore
from vidnst.farm.workers import pick_device
from vidnst.files.atomic_write import write_bytes_atomically
from vidnst.files.weights_file import weights_fingerprint
from vidnst.style.distill.crops import Crops
from vidnst.style.distill.distillation import Distillation, DistillSettings
from vidnst.style.distill.evaluate import head_correlations
from vidnst.style.distill.export import card_text, slim_features, to_safetensors
from vidnst.style.network.weights import Features, WeightsReport, load_features, resolve_weights, verify_weights
from vidnst.tools.checkpoints import Checkpoint, check_network_output, check_spared, train_with_checkpoints
from vidnst.tools.training_images import NamedImage, images_digest, read_images


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
    device: str = "auto"
    """Where it trains: `cpu`, `cuda`, or `auto` for a GPU if there is one. Rounding depends on it."""
    command: str = ""
    """The command line, for the model card."""


def distill(
    request: DistillRequest,
    *,
    overwrite: bool = False,
    restart: bool = False,
    on_event: OnEvent = ignore,
    cancelled: Cancelled | None = None,
) -> WeightsReport:
    """Train slim and write its weights file; resumes from the checkpoint next to it, to the same bytes.

    Raises:
        VidnstError: an image, the teacher or the output cannot be used, the output or its card exists and neither
            `overwrite` nor `restart` is set, or the checkpoint is of another student.
        CancelledError: `cancelled` returned True; the same request resumes.
    """
    check_network_output(request.output, overwrite=overwrite or restart)
    device = pick_device(request.device, setting="--device")
    if request.threads is not None:
        torch.set_num_threads(request.threads)
    training, held_out = read_images(
        request.images, held_out=request.held_out, clip_frames=request.clip_frames, on_event=on_event
    )
    settings = request.settings
    weights = resolve_weights(request.teacher)
    check_spared(request.output, request.images, weights)
    teacher = load_features(weights, settings.learn_to)
    crops = Crops([image.pixels for image in training], side_px=settings.crop_px, seed=settings.seed, device=device)
    distillation = Distillation(teacher, crops, settings)
    notes = _checkpoint_notes(request, device, teacher, training)
    checkpoint = Checkpoint(request.output.with_suffix(".checkpoint.safetensors"), network="student", notes=notes)
    if not restart:
        checkpoint.restore(distillation)
    train_with_checkpoints(
        distillation,
        partial(_advance, distillation),
        steps=settings.steps,
        checkpoint=checkpoint,
        on_event=on_event,
        cancelled=cancelled,
    )
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


def _checkpoint_notes(
    request: DistillRequest, device: torch.device, teacher: Features, images: Sequence[NamedImage]
) -> dict[str, str]:
    """Everything that decides the student's bytes, as texts for the metadata of a safetensors file."""
    return {
        "teacher": weights_fingerprint(teacher),
        "pictures": images_digest(images),
        "settings": json.dumps(dataclasses.asdict(request.settings)),
        "threads": str(torch.get_num_threads()),
        "device": device.type,
    }


def _advance(distillation: Distillation) -> tuple[float, dict[str, float]]:
    lesson = distillation.advance()
    return lesson.loss, lesson.errors
