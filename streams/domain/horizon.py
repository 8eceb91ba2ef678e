"""How the dedupe horizon is cut, and where a restore begins. See dedupe, whose rule it is.

Apart from it, so that a worker whose folds are the extension's never loads numpy.
"""

SLICES = 24


def restore_from_ms(horizon_ms: int, last_donated_at: int) -> int:
    """The time of the first donation that a restore needs, given the time of the partition's last one."""
    slice_ms = horizon_ms // SLICES
    return max(0, (last_donated_at // slice_ms - SLICES) * slice_ms)
