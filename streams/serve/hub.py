"""Server-sent events: who watches what, and which event each of them gets.

There is no queue. For each channel (the overview, or one project) there is the newest event, made once for all its
watchers and only when one of them may take it; a watcher that was slow gets that one next, and what came between is
gone. An event's id is the state's position in the topics, which only grows, also over restarts and from server to
server: by `Last-Event-ID` a watcher that comes back gets nothing that is older than what it has seen.
"""

import asyncio
from collections.abc import Callable, Iterable

import msgspec

from streams.serve import limits
from streams.serve.answers import Overview, ProjectAnswer, Status
from streams.serve.state import NotFoundError, State

OVERVIEW = ""  # the channel that isn't a project's

_encode = msgspec.json.Encoder().encode


def event_bytes(name: str, position: int | None, answer: Overview | ProjectAnswer | Status) -> bytes:
    """One event as it goes over the wire; without a position it leaves the watcher's last id as it is."""
    head = f"event: {name}\n" if position is None else f"event: {name}\nid: {position}\n"
    return b"%bdata: %b\n\n" % (head.encode(), _encode(answer))


class Hub:
    """Makes the events. `run` tells watchers when there is something new, at most once in `interval_s`."""

    def __init__(self, state: State, interval_s: float, clock_ms: Callable[[], int]) -> None:
        self._state = state
        self._interval_s = interval_s
        self._clock_ms = clock_ms
        self._changed = asyncio.Event()
        self._turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._due: dict[str, int] = {}  # by channel, the turn of its last change; only of those that are watched
        self._made: dict[tuple[str, str], tuple[int, bytes]] = {}  # by event and channel, the turn and the bytes
        self._watched: dict[str, int] = {}  # by channel, how many watch it
        self._pending: set[str] = set()
        self.turn = 1

    @property
    def watchers(self) -> int:
        return sum(self._watched.values())

    def note(self, projects: Iterable[str]) -> None:
        """The state has changed, for these projects among others."""
        self._pending.update(project for project in projects if project in self._watched)
        self._pending.add(OVERVIEW)
        self._changed.set()

    async def run(self) -> None:
        """Turn after turn, until cancelled: at once where something new comes after a pause, else in the interval."""
        while True:
            try:
                async with asyncio.timeout(limits.STATUS_INTERVAL_S):
                    await self._changed.wait()
            except TimeoutError:
                pass
            self._changed.clear()
            self.turn += 1
            pending, self._pending = self._pending, set()
            self._due.update((channel, self.turn) for channel in pending if channel in self._watched)
            turn, self._turn = self._turn, asyncio.get_running_loop().create_future()
            turn.set_result(None)
            await asyncio.sleep(self._interval_s)

    async def next_turn(self) -> None:
        """Wait until there is something new, or it is time to say again how fresh the figures are."""
        await asyncio.shield(self._turn)

    def watch(self, channel: str) -> None:
        self._watched[channel] = self._watched.get(channel, 0) + 1

    def leave(self, channel: str) -> None:
        self._watched[channel] -= 1
        if not self._watched[channel]:
            del self._watched[channel]
            self._due.pop(channel, None)
            self._made.pop(("project", channel), None)

    def event_for(self, channel: str, seen: "Seen") -> bytes:
        """What a watcher of a channel gets now, and `seen` is what it has seen by then."""
        state = self._state
        if not state.is_live or (state.position < seen.position and not seen.waited_long()):
            return self._status()
        if state.position < seen.position:  # and not for a moment only: the topics were made anew
            seen.turn, seen.position = self.turn, state.position
            return b"event: reset\ndata: {}\n\n" + self._full(channel)
        if seen.turn and seen.turn >= self._due.get(channel, 1):
            seen.turn = self.turn
            return self._status()
        seen.turn, seen.position = self.turn, state.position
        return self._full(channel)

    def _full(self, channel: str) -> bytes:
        now_ms, position = self._clock_ms(), self._state.position
        if channel == OVERVIEW:
            return self._once("overview", channel, position, lambda: self._state.overview(now_ms, recent=True))
        try:
            return self._once("project", channel, position, lambda: self._state.project(channel, now_ms))
        except NotFoundError:  # nobody has given to it yet
            return self._status()

    def _status(self) -> bytes:
        return self._once("status", OVERVIEW, None, lambda: self._state.status(self._clock_ms()))

    def _once(
        self, name: str, channel: str, position: int | None, make: Callable[[], Overview | ProjectAnswer | Status]
    ) -> bytes:
        """The event of this turn, made for the first who asks."""
        made = self._made.get((name, channel))
        if made is None or made[0] != self.turn:
            made = self._made[name, channel] = (self.turn, event_bytes(name, position, make()))
        return made[1]


class Seen:
    """What one watcher has seen: the position of its last event, and the turn."""

    def __init__(self, position: int, clock_s: Callable[[], float]) -> None:
        self.position = position
        self.turn = 0
        self._clock_s = clock_s
        self._since_s = clock_s()

    def waited_long(self) -> bool:
        return self._clock_s() - self._since_s > limits.CATCH_UP_WAIT_S
