"""Settings of the OpenMP threads that torch computes with on a CPU."""

import os


def set_openmp_defaults() -> None:
    """Set how OpenMP threads wait, unless the user has; call it before torch is imported, since libgomp reads it then.

    Threads spin while they wait for each other. Where another process wants a core (Ray's own, the flow, anything), all
    of them stall: 1.6 s an iteration instead of 0.6 s on two busy cores. So they sleep, but only after some
    microseconds, since most waits at the end of a layer are shorter and waking up takes longer than that: 0.084 to
    0.074 s an iteration at 256x144 on two free cores, 0.21 to 0.15 s on busy ones.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
