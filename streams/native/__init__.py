"""The hot path in Rust, where it could be built: from fetched bytes to finished record batches.

`extension` is that module, or None: then the same is done in Python (`streams/domain`), which is the reference. What
goes over the wire is the same to the byte either way, and so is what a restart makes of it, so a deployment may mix
workers with and without it.
"""

try:
    from streams.native import _everycent as extension

    extension.unpack  # noqa: B018 - what came last: one that was built from older source is none
except (ImportError, AttributeError):  # no Rust toolchain where it was installed, or not built since
    extension = None  # type: ignore[assignment]

__all__ = ["extension", "is_used"]


def is_used(wanted: bool) -> bool:
    """Whether folds run in the extension: it is `wanted` (the setting `native`), and it is there."""
    return wanted and extension is not None
