r"""Headers under names that aren't UTF-8: Kafka takes them, and aiokafka then fails at every record of their batch.

Whoever may write to `orders` could so end every reader in Python. Here such a name comes with its odd bytes escaped
(`\xff`): nobody asks for that header, and the record is what it is. A seam in aiokafka's fetcher.
"""

from collections.abc import Iterator
from typing import Any

from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import _DefaultRecordBatchPy
from aiokafka.record.memory_records import MemoryRecords

_LENGTH = slice(8, 12)  # of a batch, without what stands before it
_BEFORE_LENGTH = 12
_MAGIC_AT = 16
_WITH_HEADERS = 2  # the format of today


class LenientRecords(MemoryRecords):  # type: ignore[misc]
    """aiokafka's reader of a fetch's bytes, for headers of any name; with the bytes themselves."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.data = data
        self._at = 0

    def next_batch(self) -> Any:
        """The next record batch, None behind the last one."""
        start = self._at
        batch = super().next_batch()
        if batch is None:
            return None
        head = self.data[start : start + _MAGIC_AT + 1]
        self._at = start + _BEFORE_LENGTH + int.from_bytes(head[_LENGTH], "big", signed=True)
        return _LenientBatch(batch, self.data[start : self._at]) if head[_MAGIC_AT] == _WITH_HEADERS else batch


def accept_any_header_names() -> None:
    """Have aiokafka's consumers of this process read on where a header's name isn't UTF-8."""
    if fetcher.MemoryRecords is MemoryRecords:
        fetcher.MemoryRecords = LenientRecords


class _LenientBatch:
    """A batch whose records are read once more, slowly, where they can't be read at once."""

    def __init__(self, batch: Any, data: bytes) -> None:
        self._batch = batch
        self._data = data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __next__(self) -> Any:
        return next(self._batch)

    def __iter__(self) -> Iterator[Any]:
        try:
            return iter(list(self._batch))
        except (UnicodeDecodeError, CorruptRecordException) as error:
            if not isinstance(error, UnicodeDecodeError) and not isinstance(error.__cause__, UnicodeDecodeError):
                raise
            return iter(list(_AnyNamesBatch(self._data)))


class _AnyNamesBatch(_DefaultRecordBatchPy):  # type: ignore[misc]
    def _maybe_uncompress(self) -> None:
        super()._maybe_uncompress()
        buffer: Any = self._buffer
        if not isinstance(buffer, _AnyNames):
            self._buffer: Any = _AnyNames(buffer)


class _AnyNames(bytearray):
    """Bytes of which any part can be decoded: only names of headers are."""

    def __getitem__(self, at: Any) -> Any:
        found = super().__getitem__(at)
        return _AnyNames(found) if isinstance(at, slice) else found

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:  # noqa: ARG002 - as it is called
        return super().decode(encoding, "backslashreplace")
