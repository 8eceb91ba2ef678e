"""Fetches of several producers with commits and aborts, and how they are read: from anywhere, cut anywhere, damaged."""

import random
from dataclasses import dataclass, field

from tests.domain.orders import OrderRecord
from tests.native.batches import CODECS
from tests.native.logs import ABORT_MARKER, COMMIT_MARKER, CONTROL, LOG_APPEND_TIME, TRANSACTIONAL, encode_batch
from tests.native.reading import read_as_a_worker, read_by_aiokafka, read_natively

NONE, ZSTD = CODECS["none"], CODECS["zstd"]
PRODUCERS = 3


@dataclass(frozen=True)
class Headed(OrderRecord):
    headers: list[tuple[str, bytes | None]] = field(default_factory=list)


@dataclass
class DrawnLog:
    """Batches of several producers, some in transactions, each of which commits or aborts."""

    data: bytes = b""
    starts: list[int] = field(default_factory=lambda: [0])  # where batches begin, bytes
    offsets: list[int] = field(default_factory=list)  # ... and offsets
    aborted: list[tuple[int, int]] = field(default_factory=list)
    end: int = 0


def draw_log(rng: random.Random, batches: int, codecs: tuple[int, ...] = (NONE, ZSTD)) -> DrawnLog:
    log = DrawnLog(end=rng.choice([0, 5, 2**50]))
    began: dict[int, int] = {}
    for _ in range(batches):
        producer = rng.randrange(PRODUCERS)
        if producer in began and rng.random() < 0.3:
            first, abort = began.pop(producer), rng.random() < 0.5
            if abort:
                log.aborted.append((producer, first))
            marker = ABORT_MARKER if abort else COMMIT_MARKER
            record = OrderRecord(log.end, 1_000, marker, b"\0\0\0\0\0\1")
            add(log, encode_batch([record], log.end, log.end, flags=CONTROL | TRANSACTIONAL, producer=producer), 1)
            continue
        transactional = producer in began or rng.random() < 0.6
        if transactional:
            began.setdefault(producer, log.end)
        count = rng.choice([1, 1, 2, 5, 40])
        held = [draw_record(rng, log.end + step) for step in range(count) if rng.random() < 0.8]  # the rest compacted
        flags = TRANSACTIONAL * transactional | LOG_APPEND_TIME * (rng.random() < 0.3)
        codec = rng.choice(codecs) if held else NONE
        last = log.end + count - 1
        add(
            log, encode_batch(held, log.end, last, codec=codec, flags=flags, producer=producer, max_timestamp=99), count
        )
    for producer, first in began.items():  # open at the end: as if aborted later, for the fetch may say so
        if rng.random() < 0.5:
            log.aborted.append((producer, first))
    rng.shuffle(log.aborted)
    return log


def add(log: DrawnLog, batch: bytes, count: int) -> None:
    log.data += batch
    log.starts.append(len(log.data))
    log.offsets.append(log.end)
    log.end += count


def draw_record(rng: random.Random, offset: int) -> Headed:
    def any_bytes() -> bytes | None:
        return rng.choice([None, b"", b"b1", b"x" * 100, rng.randbytes(300)])

    headers = [] if rng.random() < 0.7 else [("reason", any_bytes()), ("", b"1")]
    return Headed(offset, rng.choice([1_000, 999, 2**41, 0]), any_bytes(), any_bytes(), headers)


def read_from_anywhere(rng: random.Random, log: DrawnLog, times: int) -> None:
    for _ in range(times):
        first = rng.randrange(len(log.offsets))
        data = log.data[log.starts[first] :]
        data = data[: rng.choice([len(data), rng.randrange(len(data) + 1)])]
        position = rng.randint(log.offsets[first], log.end) if rng.random() < 0.5 else log.offsets[first]
        assert read_natively(data, log.aborted, position) == read_by_aiokafka(data, log.aborted, position)


def read_flipped(rng: random.Random, log: DrawnLog, times: int) -> None:
    """A flipped bit is found, unless it lies in a batch's offset, which no checksum covers."""
    right, _ = read_by_aiokafka(log.data, log.aborted, log.offsets[0])
    for _ in range(times):
        data = bytearray(log.data)
        start = rng.choice(log.starts[:-1])
        at = start + rng.choice([rng.randrange(8, 61), rng.randrange(8, 12), 16, rng.randrange(8, len(data) - start)])
        if any(first <= at < first + 8 for first in log.starts):
            continue
        data[at] ^= 1 << rng.randrange(8)
        found = read_as_a_worker(bytes(data), log.aborted, log.offsets[0])
        if found is not None:
            # A length that reads too long looks like the end of the fetch: what stands before it is right.
            assert found[0] == right[: len(found[0])]
