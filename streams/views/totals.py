"""The current totals, read from `project-totals`: the newest record of each key, without those that were released.

Reads only; nothing is kept.
"""

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec
from aiokafka.errors import KafkaError
from aiokafka.partitioner import murmur2
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from schemas.totals import ProjectTotal, WindowKind, decode_total, decode_total_key
from streams.engine.reader import open_reader
from streams.errors import UserError
from streams.settings import Settings
from streams.views.money import format_yuan
from streams.views.text import printable

NAME_WIDTH_MAX = 40  # of a terminal; longer ones go over several lines
_START_LENGTHS = {WindowKind.YEAR: 4, WindowKind.MONTH: 7, WindowKind.DAY: 10}
_KIND_ORDER = {kind: index for index, kind in enumerate(WindowKind)}


@dataclass(frozen=True, slots=True)
class CurrentTotal:
    """A total and the very bytes that stand on the topic."""

    total: ProjectTotal
    wire: bytes


@dataclass(frozen=True, slots=True)
class CurrentTotals:
    """What was found, in the order to show it in; `unreadable` records are no totals and were left out."""

    totals: tuple[CurrentTotal, ...]
    unreadable: int


async def read_totals(
    settings: Settings,
    *,
    project_id: str | None = None,
    window: WindowKind | None = None,
    top: int | None = None,
) -> CurrentTotals:
    """The current totals, by project, window and start; with `top`, the greatest amounts, greatest first.

    Raises UserError if no broker answers or the topic is missing.
    """
    try:
        newest = await _read_newest(settings, project_id, _KeyFilter(project_id, window))
    except (KafkaError, OSError) as error:
        raise UserError(f"the broker stopped answering ({type(error).__name__}: {error})") from error
    found = []
    unreadable = 0
    for key, wire in newest.items():
        try:
            decode_total_key(key)
            found.append(CurrentTotal(decode_total(wire), wire))
        except (msgspec.DecodeError, ValueError):
            unreadable += 1
    if top is not None:
        return CurrentTotals(tuple(heapq.nsmallest(top, found, key=_by_amount)), unreadable)
    return CurrentTotals(tuple(sorted(found, key=_by_place)), unreadable)


async def _read_newest(settings: Settings, project_id: str | None, wanted: "_KeyFilter") -> dict[bytes, bytes]:
    topic = settings.topics.project_totals
    newest: dict[bytes, bytes] = {}
    async with open_reader(settings) as reader:
        partitions = await reader.partitions(topic)
        if project_id is not None:  # Kafka's own partitioner put all of a project's totals into one
            partitions = [partitions[(murmur2(project_id.encode()) & 0x7FFF_FFFF) % len(partitions)]]
        for partition in partitions:
            async for records in reader.read(topic, partition):
                for record in records:
                    if not wanted.passes(record.key):
                        continue
                    if record.value is None:
                        newest.pop(record.key, None)
                    else:
                        newest[record.key] = record.value
    return newest


class _KeyFilter:
    """Looks at keys only: values are decoded for what is shown."""

    def __init__(self, project_id: str | None, window: WindowKind | None) -> None:
        self._start = b"" if project_id is None else f"{project_id}|".encode()
        self._part = b"" if window is None else f"|{window}|".encode()

    def passes(self, key: bytes | None) -> bool:
        return key is not None and key.startswith(self._start) and self._part in key


def _by_place(each: CurrentTotal) -> tuple[str, int, int]:
    return each.total.project_id, _KIND_ORDER[each.total.window], each.total.start_ms


def _by_amount(each: CurrentTotal) -> tuple[int, str, int, int]:
    return -each.total.fen, *_by_place(each)


def start_text(total: ProjectTotal) -> str:
    """When the window starts, in the deployment's zone and no finer than the window: `2020`, `2020-11-11 15:30`."""
    return (total.start or "").replace("T", " ")[: _START_LENGTHS.get(total.window, 16)]


def totals_table(totals: Sequence[CurrentTotal], names: Mapping[str, str]) -> Table:
    """The totals as a table for people, amounts in yuan; columns of names and late yuan where any of them has some.

    Only names go over several lines where the terminal is narrow.
    """
    with_names = any(each.total.project_id in names for each in totals)
    with_late = any(each.total.late_fen for each in totals)
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("project", no_wrap=True)
    if with_names:
        table.add_column("name", max_width=NAME_WIDTH_MAX)
    table.add_column("window", no_wrap=True)
    table.add_column("start", no_wrap=True)
    for name in ("yuan", "donations", *(["late yuan"] if with_late else [])):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("final", no_wrap=True)
    for each in totals:
        total = each.total
        table.add_row(
            Text(printable(total.project_id)),
            *([Text(printable(names.get(total.project_id, "")))] if with_names else []),
            total.window.value,
            Text(printable(start_text(total))),
            format_yuan(total.fen),
            f"{total.donations:,}",
            *([format_yuan(total.late_fen) if total.late_fen else ""] if with_late else []),
            "yes" if total.final else "",
        )
    return table
