"""How long a busy Python thread may keep the others of this process waiting.

An evaluation is some hundred short calls of torch. Next to a busy thread each of them could wait for Python's lock for
the whole switch interval, which is 5 ms by default. The interval belongs to the process.
"""

import sys
import threading

SHORT_SECONDS = 0.0005
"""With it a busy thread makes evaluations twice as slow, and seven times with the default."""

_lock = threading.Lock()
_users = 0
_previous_seconds = 0.0


def shorten_switch_interval() -> None:
    """Let threads take turns often, until `restore_switch_interval` was called as many times."""
    global _users, _previous_seconds
    with _lock:
        if _users == 0:
            _previous_seconds = sys.getswitchinterval()
            sys.setswitchinterval(min(SHORT_SECONDS, _previous_seconds))
        _users += 1


def restore_switch_interval() -> None:
    """Set the interval that there was before."""
    global _users
    with _lock:
        _users -= 1
        if _users == 0:
            sys.setswitchinterval(_previous_seconds)
