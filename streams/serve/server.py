"""`everycent serve`, put together: the follower, the looks, the hub and HTTP, until a signal.

Nothing survives it and nothing needs to: the next one reads the topics again.
"""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import structlog
from aiohttp import web

from streams.connections import listening
from streams.domain.freshness import Look
from streams.domain.windows import Calendar
from streams.engine.reader import open_reader
from streams.errors import UserError
from streams.metrics_service import SERVE_METRICS, ServeStanding, ServiceCollector
from streams.serve.connections import terms
from streams.serve.donors import ReceiptDesk, add_donors, read_link_keys
from streams.serve.folder import temporary_folder
from streams.serve.follow import Follower
from streams.serve.http import Service, make_app
from streams.serve.hub import Hub
from streams.serve.index import TotalsIndex, wall_clock_ms
from streams.serve.ledger_files import add_ledger_files
from streams.serve.looks import Looks
from streams.serve.recalls import RecalledLinks
from streams.serve.state import State
from streams.serve.verify_file import add_verify_page
from streams.settings import Settings
from streams.supervision import Service as Supervised
from streams.supervision import supervised

logger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Parts:
    """What a server that runs is made of, for whoever watches it. Called from any thread."""

    state: State
    hub: Hub
    follower: Follower
    looks: Looks
    started_ms: int

    def standing(self) -> ServeStanding:
        """What its metrics show."""
        state, rebuilding = self.state, self.state.rebuilding
        as_of_ms = state.freshness.as_of_ms if state.is_live else None
        since_ms = self.started_ms if as_of_ms is None else as_of_ms
        left: int | None = 0
        if rebuilding is not None:
            left = rebuilding.of - rebuilding.read if self.follower.has_begun else None
        return ServeStanding(
            watchers=self.hub.watchers,
            delay_seconds=max(0, wall_clock_ms() - since_ms) / 1_000,
            broker_answers=state.broker_answers,
            left_records=left,
            unreadable=state.index.unreadable,
        )

    def turns(self) -> dict[str, int]:
        return {
            "reading the totals": self.follower.turns,
            "looking at the workers": self.looks.turns,
            "making events": self.hub.turn,
        }

    def not_ready(self) -> list[str]:
        return [] if self.state.is_live else ["not all has been read that stood on the topics at the start"]


Beside = Callable[[Parts], AbstractContextManager[None]]


async def run_server(settings: Settings, on_address: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT. `on_address` is told where, once connections are taken.

    Raises UserError for what a person can mend.
    """
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await _check_topics(settings)

    def beside(parts: Parts) -> AbstractContextManager[None]:
        collector = ServiceCollector(SERVE_METRICS, parts.standing)
        return supervised(settings, Supervised(collector, parts.turns, parts.not_ready))

    async with serving(settings, beside) as (address, working):
        on_address(address)
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait([stopping, *working], return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
        for task in working:
            if task.done():
                task.result()


@asynccontextmanager
async def serving(
    settings: Settings, beside: Beside = lambda _parts: nullcontext()
) -> AsyncIterator[tuple[str, list[asyncio.Task[None]]]]:
    """A server for as long as the block lasts: its address, and the tasks that must not end before it does.

    `beside` is entered as long as they run.
    """
    loop = asyncio.get_running_loop()
    with temporary_folder() as folder:
        index = TotalsIndex(folder, Calendar(settings.timezone), settings)
        state = State(index)
        hub = Hub(state, settings.serve_update_interval_ms / 1_000, wall_clock_ms)
        follower = Follower(settings, state, hub.note)

        def take(look: Look | None) -> None:
            answers = look is not None
            if answers is not state.broker_answers:
                log = logger.info if answers else logger.warning
                log("the broker answers again" if answers else "the broker doesn't answer, so the figures stand still")
                state.broker_answers = answers
            if look is not None:
                state.freshness.look(look, follower.totals_read)

        service = Service(state, hub, wall_clock_ms, settings.serve_watchers_max, settings.serve_origins)
        app = make_app(service)
        _add_ledger(app, settings)
        working: list[asyncio.Task[None]] = []
        try:
            async with _listening(app, settings) as address:
                looks = Looks(settings, take)
                working += [loop.create_task(each) for each in (follower.run(), looks.run(), hub.run())]
                try:
                    with beside(Parts(state, hub, follower, looks, wall_clock_ms())):
                        yield address, working
                finally:
                    for task in working:
                        task.cancel()
                    await asyncio.gather(*working, return_exceptions=True)
        finally:
            index.close()


def _add_ledger(app: web.Application, settings: Settings) -> None:
    """What the server has of the public ledger: its files, the page that checks receipts, the donors' page."""
    if settings.serve_ledger_dir:
        add_ledger_files(app, Path(settings.serve_ledger_dir))
    folder = Path(settings.serve_ledger_dir or settings.ledger_dir)
    add_verify_page(app, folder)
    if settings.serve_link_keys:
        keys = read_link_keys(Path(settings.serve_link_keys))
        recalled = RecalledLinks(Path(settings.serve_recalled_links)) if settings.serve_recalled_links else ()
        desk = ReceiptDesk(folder, Path(settings.ledger_index))
        add_donors(app, desk, keys, lambda: wall_clock_ms() // 1_000, recalled)


async def _check_topics(settings: Settings) -> None:
    """Tell a person at once, and not by a page that never fills. Raises UserError."""
    async with open_reader(settings) as reader:
        topics = settings.topics
        for topic in (topics.project_totals, topics.projects, topics.orders, topics.project_deltas):
            await reader.partitions(topic)


@asynccontextmanager
async def _listening(app: web.Application, settings: Settings) -> AsyncIterator[str]:
    host, port = settings.serve_host, settings.serve_port
    async with AsyncExitStack() as stack:
        try:
            found_port = await stack.enter_async_context(listening(app, host, port, terms(settings.serve_watchers_max)))
        except (OSError, UnicodeError) as error:  # a name that can't be one is the latter
            raise UserError(
                f"can't listen on {host}:{port} ({getattr(error, 'strerror', None) or error}). Choose another with "
                "--host and --port, or EVERYCENT_SERVE_HOST and EVERYCENT_SERVE_PORT."
            ) from error
        shown = f"[{host}]" if ":" in host else host
        yield f"http://{shown}:{found_port}/"
