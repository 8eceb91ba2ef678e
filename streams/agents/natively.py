"""How both processors give records to the extension: packed where they are, one by one where Python had to unpack them.

Raises CorruptRecordException for damaged bytes, as aiokafka does.
"""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from aiokafka.errors import CorruptRecordException

from schemas.records import LogRecord
from streams.engine.packed import PackedRecords
from streams.native import extension


def fold_natively(folder: "extension.Splitter | extension.Totals", records: Sequence[LogRecord]) -> None:
    """Fold `records`, in this thread."""
    if isinstance(records, PackedRecords) and records.readable:
        with _as_aiokafka_says_it():
            folder.fold(records.data, records.aborted, records.position)
    else:
        for record in records:
            folder.fold_record(record.offset, record.timestamp, record.key, record.value)


async def restore_natively(folder: "extension.Splitter | extension.Totals", records: Sequence[LogRecord]) -> None:
    """Take back `records`, in a thread beside the event loop: the next fetch, heartbeats and other restores go on.

    A cancellation doesn't end the thread; whoever is cancelled must not use `folder` any more.
    """
    if isinstance(records, PackedRecords) and records.readable:
        with _as_aiokafka_says_it():
            await asyncio.to_thread(folder.restore, records.data, records.aborted, records.position)
    else:
        for record in records:
            folder.restore_record(record.key, record.value)


@contextmanager
def _as_aiokafka_says_it() -> Iterator[None]:
    try:
        yield
    except extension.CorruptRecordsError as error:
        raise CorruptRecordException(str(error)) from error
