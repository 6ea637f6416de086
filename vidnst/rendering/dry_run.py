"""What a render would do, told without doing it."""

from collections import Counter
from dataclasses import replace
from typing import Any

from vidnst.farm.plan import StateId, by_shot
from vidnst.rendering.prepare import check_request, study_frames
from vidnst.rendering.run_setup import find_shots_of
from vidnst.rendering.styles.timeline import check_shots
from vidnst.runs.request import Request


def outline(request: Request, *, overwrite: bool = True) -> dict[str, Any]:
    """What `run` would do, as plain JSON, without doing it."""
    checked = check_request(request, overwrite=overwrite)
    shots = find_shots_of(checked)
    check_shots(checked.timeline, len(shots))
    size = (checked.width, checked.height)
    if checked.config.input.crops:
        size = study_frames(checked, shots).size(checked.clip, checked.config.input.size)
    schedule = checked.schedule
    nodes = [node for shot in by_shot(schedule, shots) for node in shot]
    roles = Counter(node.role.value for node in nodes)
    kinds = Counter((node.role, node.id.pass_index) for node in nodes if isinstance(node.id, StateId))
    evaluations = sum(count * checked.config.evaluations(*kind) for kind, count in kinds.items())
    return {
        "source": checked.clip.source,
        "output": str(request.output),
        "run_folder": str(request.folder),
        "frames": checked.frames,
        "range": [checked.start, checked.end],
        "size": list(size),
        "rate": str(checked.clip.rate),
        "variable_rate": checked.clip.variable_rate,
        "audio": checked.clip.audio_codec,
        "schedule": schedule.kind,
        "shots": [[shot.start, shot.end] for shot in shots],
        "nodes": dict(roles),
        "evaluations": evaluations,
        "styles": [str(replace(style.text, path=str(style.path))) for style in checked.styles],
        "config": checked.config.model_dump(mode="json"),
    }
