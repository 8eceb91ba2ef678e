"""A replay of rejected orders, put together: what passes now, what has donated already, what is sent.

Nothing is remembered between runs and nothing needs to: whatever a run that was cut short has sent is found in the
topics by the next one (see streams.engine.replay for why that is exact). A run is told to end by being cancelled.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from schemas import limits
from schemas.rejection import Reason, Refusal
from schemas.units import HOUR_MS
from streams.domain.murmur2 import partitions_of
from streams.domain.replay import ROUND_BYTES_MAX, Candidate, Round, cut, donates, judge, judge_mended
from streams.engine.reader import open_reader
from streams.engine.replay import (
    TRANSACTION_BYTES_MAX,
    TRANSACTION_ORDERS_MAX,
    OnReplayStep,
    OrderSearch,
    ReplayStep,
    ReplayWriter,
    ignore_replay_step,
    open_search,
)
from streams.errors import UserError
from streams.settings import Settings
from streams.views.rejected import read_rejected

FILE_FAULTS_KEPT = 20  # of a file whose every line is wrong nobody reads all


@dataclass(slots=True)
class ReplayReport:
    """What became of the orders that were looked at: each is counted once."""

    dry_run: bool
    replayed: int = 0  # or would be
    known: int = 0  # donated already, or on their way in `orders`
    repeats: int = 0  # the same order stood there before
    conflicting: int = 0  # one id for two different orders: neither is sent
    without_pledge: int = 0
    refused: Counter[Reason] = field(default_factory=Counter)  # they still don't pass
    unreadable: int = 0  # no headers that say what they are
    known_places: list[tuple[str, str]] = field(default_factory=list)  # the first: origin, and where it is known from

    def to_json(self) -> dict[str, Any]:
        return {
            "dry_run": self.dry_run,
            "replayed": self.replayed,
            "known": self.known,
            "repeats": self.repeats,
            "conflicting": self.conflicting,
            "without_pledge": self.without_pledge,
            "refused": {reason.value: count for reason, count in sorted(self.refused.items())},
            "unreadable": self.unreadable,
        }


@dataclass(frozen=True, slots=True)
class MendedLine:
    """A line of a mended file that passes."""

    number: int
    value: bytes


class MendedFileError(UserError):
    """Lines of a mended file don't pass. `faults` are the first ones: the line's number and what is wrong with it."""

    def __init__(self, message: str, faults: list[tuple[int, str]]) -> None:
        super().__init__(message)
        self.faults = faults


def now_ms() -> int:
    return time.time_ns() // 1_000_000


async def replay_rejected(
    settings: Settings,
    reason: Reason | None = None,
    *,
    dry_run: bool = False,
    on_step: OnReplayStep = ignore_replay_step,
    clock_ms: Callable[[], int] = now_ms,
) -> ReplayReport:
    """Put the rejected orders that now pass, as the bytes that they are, back where they came in. Raises UserError.

    Each goes to the partition of `orders` that it came from: there its sender's repeats come too, and are told.
    """
    if reason is Reason.CONFLICT:
        raise UserError("a conflict is never replayed: which of the two orders is right only a person can say.")
    report = ReplayReport(dry_run)
    batch = Round()
    async with _Replay(settings, report, on_step) as replay, open_reader(settings) as reader:
        async for rejected in read_rejected(settings, reader, reason):
            if rejected.rejection is None:
                report.unreadable += 1
                continue
            if rejected.rejection.reason is Reason.CONFLICT:
                report.refused[Reason.CONFLICT] += 1
                continue
            order = judge(rejected.key, rejected.value, clock_ms())
            if isinstance(order, Refusal):
                report.refused[order.reason] += 1
            elif not donates(order):
                report.without_pledge += 1
            else:
                assert rejected.key is not None, "an order without a key doesn't pass"
                assert rejected.value is not None, "an order without a value doesn't pass"
                batch.add(Candidate(order, rejected.key, rejected.value, rejected.partition, rejected.place))
                if batch.is_full:
                    await replay.run(batch, _earliest_ms(settings, batch))
                    batch = Round()
        await replay.run(batch, _earliest_ms(settings, batch))
    return report


async def replay_mended(
    settings: Settings,
    path: Path,
    *,
    dry_run: bool = False,
    on_step: OnReplayStep = ignore_replay_step,
    clock_ms: Callable[[], int] = now_ms,
) -> ReplayReport:
    """Send the mended orders of a file, one JSON order a line, once all of it has been checked.

    Raises UserError: MendedFileError if a line doesn't pass; nothing has been sent then.
    """
    report = ReplayReport(dry_run)
    batch = read_mended(path, clock_ms(), report)
    async with open_reader(settings) as reader:
        partition_count = len(await reader.partitions(settings.topics.orders))
    keys = [each.key for each in batch.candidates.values()]
    for (order_id, each), partition in zip(
        list(batch.candidates.items()), partitions_of(keys, partition_count).tolist(), strict=True
    ):
        batch.candidates[order_id] = each._replace(partition=partition)
    async with _Replay(settings, report, on_step) as replay:
        # All of the ledger: a mended order may bear another time than the one that donated under its id.
        await replay.run(batch, None)
    return report


def read_mended(path: Path, at_ms: int, report: ReplayReport) -> Round:
    """The orders of a mended file. Raises MendedFileError if a line doesn't pass, UserError if it can't be read."""
    found = Round()
    lines: dict[str, int] = {}
    faults: list[tuple[int, str]] = []
    wrong = total = 0
    for line in _lines(path):
        total += 1
        order = judge_mended(line.value, at_ms)
        if isinstance(order, Refusal):
            fault = f"{order.reason}: {order.detail}"
        elif order.order_id in lines:
            fault = f"order {order.order_id!r} stands in line {lines[order.order_id]} already - at `$.order_id`"
        else:
            lines[order.order_id] = line.number
            if donates(order):
                origin = f"{path.name}:{line.number}"
                found.add(Candidate(order, order.buyer_id.encode(), line.value, 0, origin))
            else:
                report.without_pledge += 1
            continue
        wrong += 1
        if len(faults) < FILE_FAULTS_KEPT:
            faults.append((line.number, fault))
    if faults:
        verb = "is no order that passes" if wrong == 1 else "are no orders that pass"
        raise MendedFileError(f"{wrong} of {total} lines {verb}; nothing was sent. Mend them and run it again.", faults)
    return found


def _lines(path: Path) -> Iterable[MendedLine]:
    """The lines that hold something, numbered from 1 as editors do."""
    size = 0
    try:
        with path.open("rb") as file:
            number = 0
            while piece := file.readline(limits.ORDER_MAX_BYTES + 3):  # an end of line, and one byte too many
                number += 1
                value, ended = piece.rstrip(b"\r\n"), piece.endswith(b"\n")
                size += len(piece)
                while not ended and (rest := file.readline(limits.ORDER_MAX_BYTES)):  # `value` is too large already
                    ended = rest.endswith(b"\n")
                    size += len(rest)
                if size > ROUND_BYTES_MAX:
                    raise UserError(
                        f"{str(path)!r} holds more than {ROUND_BYTES_MAX // 1_048_576} MiB; nothing was sent. Split it."
                    )
                if value.strip():
                    yield MendedLine(number, value)
    except OSError as error:
        raise UserError(f"can't read {str(path)!r}: {error.strerror or error}") from None


def _earliest_ms(settings: Settings, batch: Round) -> int:
    """From when on an unchanged order's donation can stand in the ledger.

    It bears the order's own time. An order with the same id but an earlier time is another one, a conflict; the
    workers know it within the horizon, so as far back it is looked for here.
    """
    earliest = min((each.order.completed_at for each in batch.candidates.values()), default=0)
    return max(earliest - settings.dedupe_horizon_hours * HOUR_MS, 0)


class _Replay:
    """Sends what isn't known yet. Connects, and fences other replays, when there is something to send."""

    def __init__(self, settings: Settings, report: ReplayReport, on_step: OnReplayStep) -> None:
        self._settings = settings
        self._report = report
        self._on_step = on_step
        self._connections = AsyncExitStack()
        self._search: OrderSearch | None = None
        self._writer: ReplayWriter | None = None  # one for all rounds: a second one would fence whoever fenced us

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._connections.__aexit__(kind, error, trace)  # they say in words what the broker denied

    async def run(self, batch: Round, donated_since_ms: int | None) -> None:
        """Send the orders of `batch` that haven't donated. The numbered steps: streams.engine.replay."""
        self._report.repeats += batch.repeats
        self._report.conflicting += len(batch.conflicting)
        candidates = batch.without_conflicts()
        if not candidates:
            return
        writer = None if self._report.dry_run else await self._open_writer()
        if self._search is None:
            self._search = await self._connections.enter_async_context(open_search(self._settings))
        await self._search.start({each.order.order_id for each in candidates}, donated_since_ms)
        self._on_step(ReplayStep.CHECKED)
        for piece in cut(candidates, TRANSACTION_ORDERS_MAX, TRANSACTION_BYTES_MAX):
            if writer is not None:
                await self._search.advance()
            if unknown := self._unknown(piece, self._search):
                if writer is not None:
                    await writer.send(unknown)
                self._report.replayed += len(unknown)

    async def _open_writer(self) -> ReplayWriter:
        if self._writer is None:
            writer = ReplayWriter(self._settings, self._on_step)
            self._connections.push_async_callback(writer.stop)
            await writer.start()
            self._writer = writer
        return self._writer

    def _unknown(self, candidates: list[Candidate], search: OrderSearch) -> list[Candidate]:
        unknown = []
        for each in candidates:
            place = search.found.get(each.order.order_id)
            if place is None:
                unknown.append(each)
            else:
                self._report.known += 1
                if len(self._report.known_places) < FILE_FAULTS_KEPT:
                    self._report.known_places.append((each.origin, place))
        return unknown
