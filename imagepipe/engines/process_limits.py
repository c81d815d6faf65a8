"""Resource limits of processes that decode: as low as requested, but never above the
system's own.

The daemon itself may run under hard limits (systemd's LimitAS=, a container's, `ulimit -H`).
Raising one fails, and if decoders died of that, every image would look broken.
"""

import resource


def lower(limit: int, wanted: int, process_id: int = 0) -> None:
    """Bound a resource of a process, 0 for this one, to `wanted` or to its hard limit if that is
    lower.

    limit: one of resource.RLIMIT_*. Raises ProcessLookupError if the process is gone.
    """
    _, hard = resource.prlimit(process_id, limit)
    bound = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.prlimit(process_id, limit, (bound, bound))
