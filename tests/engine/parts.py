"""A processor without state, an empty log and services that do nothing: what a task needs beside what is tested."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from streams.engine.stage import Output


class NoState:
    """A processor that keeps nothing."""

    commit_max_records = 1_000

    async def restore(self, *_: object) -> None:
        return None

    def fold(self, records: Sequence[object]) -> None: ...

    def take_output(self, *_: object) -> Output:
        return Output()

    def fold_idle(self) -> bool:
        return False

    def levels(self) -> dict[object, int]:
        return {}


class EmptyLog:
    async def start_offset(self, *_: object) -> int:
        return 0

    async def end_offset(self, *_: object) -> int:
        return 0


@asynccontextmanager
async def open_log() -> AsyncIterator[EmptyLog]:
    yield EmptyLog()


async def nothing(*_: object) -> None: ...
