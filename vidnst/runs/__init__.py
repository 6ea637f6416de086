"""The run folder: the records and results that a render needs to be resumed, and how others read them."""

from vidnst.runs.async_writer import NodeResult, Writer
from vidnst.runs.disk_space import check_free_space, required_bytes
from vidnst.runs.done_record import DoneRecord
from vidnst.runs.event_log import LogReader, read_events
from vidnst.runs.folder_lock import lock_holder
from vidnst.runs.layout import RunLayout, holds_run, run_folder_of
from vidnst.runs.manifest import Look, Manifest, StyleRecord
from vidnst.runs.plan_record import RunPlan
from vidnst.runs.run_log import RunLog
from vidnst.runs.run_store import RunStore
from vidnst.runs.stored_arrays import StoredArray

__all__ = [
    "DoneRecord",
    "LogReader",
    "Look",
    "Manifest",
    "NodeResult",
    "RunLayout",
    "RunLog",
    "RunPlan",
    "RunStore",
    "StoredArray",
    "StyleRecord",
    "Writer",
    "check_free_space",
    "holds_run",
    "lock_holder",
    "read_events",
    "required_bytes",
    "run_folder_of",
]
