"""Records that aren't ours on topics that only workers write: a person must hear of them in one line.

Whoever has the right to write there can put anything in. To pass it over would be to lose what it may have stood for,
and to go on with another figure a lie; so the worker ends, says where it is, and its supervisor starts it again.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import msgspec

from schemas.records import LogRecord
from streams.errors import ExitStatus, UserError

Unreadable = (msgspec.DecodeError, ValueError, KeyError, RecursionError)


@contextmanager
def only_ours(
    topic: str, partition: int, records: Sequence[LogRecord], read: Callable[[LogRecord], object]
) -> Iterator[None]:
    """Raise UserError (exit status 3) where reading `records` fails, naming the first that `read` can't read."""
    try:
        yield
    except Unreadable as error:
        offset, what = _first_unreadable(records, read) or (None, error)
        place = f"{topic}-{partition}" + ("" if offset is None else f" offset {offset}")
        raise UserError(
            f"{place} holds what no worker writes: {str(what) or repr(what)}. Find who wrote it, and let none but "
            "workers write there. All before it stands; to go on behind it, send the orders anew with another "
            "EVERYCENT_APP_ID and EVERYCENT_TOPIC_PREFIX.",
            ExitStatus.FAILED,
        ) from error


def _first_unreadable(
    records: Sequence[LogRecord], read: Callable[[LogRecord], object]
) -> tuple[int, Exception] | None:
    for record in records:
        try:
            read(record)
        except Unreadable as error:
            return record.offset, error
    return None
