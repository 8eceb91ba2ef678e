"""A server as `everycent serve` has it, over a state that the test fills, and a client of it. No Kafka."""

import asyncio
from contextlib import asynccontextmanager

from aiohttp.test_utils import TestClient, TestServer

from streams.serve.http import Service, make_app
from streams.serve.hub import Hub
from tests.serve.parts import LUNCH, NOON_MS, Log, live_state, take


class Api:
    """The server's parts, and ways to change and to ask it."""

    def __init__(self, state, hub, service):
        self.state, self.hub, self.service = state, hub, service
        self.log = Log()
        self.client = None
        self.now_ms = NOON_MS

    def commit(self, *donations):
        """As if workers had committed these donations `(project, ms, fen)`."""
        self.hub.note(take(self.state, self.log.commit(*donations)))

    async def get(self, path, **headers):
        async with self.client.get(path, headers=headers) as response:
            return response, await response.read()

    @property
    def address(self):
        return f"http://127.0.0.1:{self.client.port}"


@asynccontextmanager
async def serving_state(folder, *, projects=(LUNCH,), port=None, interval_s=0.02, prepare=None, **options):
    state = live_state(folder, projects=list(projects))
    hub = Hub(state, interval_s, lambda: api.now_ms)
    service = Service(state, hub, lambda: api.now_ms, **{"watchers_max": 50, **options})
    api = Api(state, hub, service)
    running = asyncio.create_task(hub.run())
    app = make_app(service)
    if prepare is not None:
        prepare(app)
    async with TestClient(TestServer(app, port=port)) as api.client:
        api.commit(("P1", NOON_MS, 5), ("P2", NOON_MS, 7))
        yield api
    running.cancel()
