"""What a render would do, told without doing it."""

from collections import Counter
from dataclasses import replace
from typing import Any

from vidnst.farm.plan import StateId, by_shot
from vidnst.rendering.prepare import prepare, study_frames
from vidnst.rendering.run_setup import find_shots_of, schedule_of
from vidnst.rendering.styles.timeline import check_shots
from vidnst.runs.request import Request


def outline(request: Request, *, overwrite: bool = True) -> dict[str, Any]:
    """What `run` would do, as plain JSON, without doing it."""
    job = prepare(request, overwrite=overwrite)
    shots = find_shots_of(job)
    check_shots(job.entries, len(shots))
    if job.config.input.crops:
        job = study_frames(job, shots)
    schedule = schedule_of(job)
    nodes = [node for shot in by_shot(schedule, shots) for node in shot]
    roles = Counter(node.role.value for node in nodes)
    kinds = Counter((node.role, node.id.pass_index) for node in nodes if isinstance(node.id, StateId))
    evaluations = sum(count * job.config.evaluations(*kind) for kind, count in kinds.items())
    return {
        "source": job.clip.source,
        "output": str(request.output),
        "run_folder": str(request.folder),
        "frames": job.end - job.start,
        "range": [job.start, job.end],
        "size": [job.width, job.height],
        "rate": str(job.clip.rate),
        "variable_rate": job.clip.variable_rate,
        "audio": job.clip.audio_codec,
        "schedule": schedule.kind,
        "shots": [[shot.start, shot.end] for shot in shots],
        "nodes": dict(roles),
        "evaluations": evaluations,
        "styles": [str(replace(style.text, path=str(style.path))) for style in job.styles],
        "config": job.config.model_dump(mode="json"),
    }
