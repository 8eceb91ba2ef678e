"""Logs, honest and lying, on disk and over HTTP, and a witness. Modules with a `log` of their own use that one."""

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.ledger.witness_parts import GrowingLog, bench


@pytest.fixture
def log(tmp_path):
    return GrowingLog(tmp_path / "log").grow(300)


@pytest.fixture
def liar(tmp_path):
    """The same log but for leaf 200, under the same key."""
    return GrowingLog(tmp_path / "liar", 200)


@pytest.fixture
async def witness(tmp_path, log):
    async with bench(tmp_path / "w", log.folder) as found:
        yield found


async def serve_folder(folder):
    """Over HTTP, as any web server does it; every request that came, and it may be made to fail."""
    asked, failing = [], {}

    async def handle(request):
        path = request.match_info["path"]
        asked.append(path)
        if path in failing:
            return await failing[path](request)
        file = folder / path
        return web.FileResponse(file) if file.is_file() else web.Response(status=404)

    app = web.Application()
    app.router.add_get("/ledger/{path:.+}", handle)
    server = TestServer(app)
    await server.start_server()
    return server, asked, failing


@pytest.fixture
async def http(log):
    server, asked, failing = await serve_folder(log.folder)
    yield str(server.make_url("/ledger")), asked, failing
    await server.close()
