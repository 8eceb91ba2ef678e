import asyncio
import json
import socket
import threading

import aiohttp
import jsonschema
import msgspec
import pytest
from aiohttp import web
from openapi_spec_validator import validate

from schemas.limits import INT64_MAX
from schemas.totals import ProjectTotal, WindowKind, encode_total, key_of
from streams.serve import limits
from streams.serve.answers import Problem, Progress
from streams.serve.http import AS_OF_HEADER, SECURITY_HEADERS
from streams.serve.routes import BASE, OPENAPI_PATH, ROUTES, STREAM_PATH
from tests.serve.parts import NOON_MS, take
from tests.serve.world import serving_state

ORIGIN = "https://charity.example"
QUERIES = {
    "/status": "",
    "/overview": "",
    "/sums": "?window=day",
    "/top": f"?window=hour&at_ms={NOON_MS}",
    "/day": "?date=2020-11-11",
    "/projects": "?search=lunch",
    "/project": "?id=P1",
    "/project/totals": "?id=P1&window=minute",
}


@pytest.fixture
async def api(tmp_path):
    async with serving_state(tmp_path) as api:
        yield api


def schema_of(document, path):
    found = document["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    return {**found, "components": document["components"]}


async def test_the_openapi_document_is_valid_and_names_every_path_that_there_is(api):
    document = json.loads((await api.get(OPENAPI_PATH))[1])
    validate(document)
    served = {resource.canonical for resource in api.client.app.router.resources()}
    assert set(document["paths"]) == {path for path in served if path.startswith(BASE)}
    assert QUERIES.keys() == {route.path for route in ROUTES}


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.path)
async def test_every_answer_is_as_the_document_says(api, route):
    document = json.loads((await api.get(OPENAPI_PATH))[1])
    response, body = await api.get(f"{BASE}{route.path}{QUERIES[route.path]}")
    assert response.status == 200, body
    jsonschema.validate(json.loads(body), schema_of(document, f"{BASE}{route.path}"))
    parameters = document["paths"][f"{BASE}{route.path}"]["get"]["parameters"]
    assert {each["name"] for each in parameters} == {field.name for field in msgspec.structs.fields(route.question)}
    for name in {each["name"] for each in parameters if each["required"]}:
        response, body = await api.get(f"{BASE}{route.path}")
        assert response.status == 400, name
        assert msgspec.json.decode(body, type=Problem).error


@pytest.mark.parametrize(
    ("path", "status", "text"),
    [
        ("/top?window=week", 400, "week"),
        ("/top?window=day&limit=101", 400, "limit"),
        ("/top?window=day&limit=x", 400, "limit"),
        ("/top?window=day&window=day", 400, "twice"),
        ("/top?window=day&x=1", 400, "x"),
        (f"/top?window=day&at_ms={2**63}", 400, "at_ms"),
        ("/sums?window=day&from_ms=-1", 400, "from_ms"),
        ("/day?date=2020-1-1", 400, "date"),
        ("/day?date=2020-02-30", 404, "2020-02-30"),
        ("/project?id=", 400, "id"),
        ("/project?id=P3", 404, "P3"),
        (f"/projects?search={'x' * 101}", 400, "search"),
        (f"/projects?search={'x' * 3_000}", 414, "too long"),
        ("/nothing", 404, "Not Found"),
    ],
)
async def test_what_cant_be_answered_is_refused_with_one_line_that_says_why(api, path, status, text):
    response, body = await api.get(f"{BASE}{path}")
    assert response.status == status, body
    assert text in json.loads(body)["error"]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
async def test_it_can_only_be_read(api, method):
    async with api.client.request(method, f"{BASE}/status", data=b"x") as response:
        assert response.status == 405
        assert response.headers["Allow"] == "GET,HEAD"
        assert SECURITY_HEADERS.items() <= dict(response.headers).items()


async def test_an_id_of_any_characters_can_be_asked_for(api):
    for project_id in ("a/b", "..", "?&=#", "捐", "%2F", "+ +"):
        api.commit((project_id, NOON_MS, 5))
        async with api.client.get(f"{BASE}/project", params={"id": project_id}) as response:
            assert (await response.json())["project_id"] == project_id


async def test_integers_beyond_2_to_the_53_go_out_as_they_are(api):
    for number in range(3):
        total = ProjectTotal(f"B{number}", WindowKind.ALL, 0, None, None, INT64_MAX, 1, 0, 0, False, 1)
        take(api.state, [(key_of(total).encode(), encode_total(total))])
    assert b'"fen":%d,' % (3 * INT64_MAX + 12) in (await api.get(f"{BASE}/overview"))[1]
    assert b'"fen":%d,' % INT64_MAX in (await api.get(f"{BASE}/top?window=all"))[1]


async def test_an_etag_stays_while_the_figures_do_and_as_of_is_said_beside_it(api):
    api.state.freshness.as_of_ms = NOON_MS - 1
    for path in ("/overview", "/top?window=all", "/project?id=P1"):
        response, _ = await api.get(f"{BASE}{path}")
        tag = response.headers["ETag"]
        api.state.freshness.as_of_ms += 1
        response, body = await api.get(f"{BASE}{path}", **{"If-None-Match": tag})
        assert (response.status, body, response.headers["ETag"]) == (304, b"", tag)
        assert response.headers[AS_OF_HEADER] == str(api.state.freshness.as_of_ms)
        api.commit(("P1", NOON_MS, 1))
        response, _ = await api.get(f"{BASE}{path}", **{"If-None-Match": tag})
        assert response.status == 200
        assert response.headers["ETag"] != tag


async def test_a_broken_if_none_match_is_no_error(api):
    for value in ("x", '"', "*", 'W/"'):
        assert (await api.get(f"{BASE}/overview", **{"If-None-Match": value}))[0].status in {200, 304}


async def test_every_answer_bears_the_security_headers_and_no_page_of_another_origin_may_read_it(api):
    for path in ("/", "/page/app.js", f"{BASE}/overview", f"{BASE}/nothing", "/healthz"):
        response, _ = await api.get(path, Origin=ORIGIN)
        assert SECURITY_HEADERS.items() <= dict(response.headers).items(), path
        assert "Access-Control-Allow-Origin" not in response.headers
        assert response.headers["Cross-Origin-Resource-Policy"] == "same-origin"
    policy = SECURITY_HEADERS["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert policy.startswith("default-src 'none'")


async def test_only_origins_of_the_settings_may_read_the_api_and_not_the_page(tmp_path):
    async with serving_state(tmp_path, cors_origins=frozenset({ORIGIN})) as api:
        response, _ = await api.get(f"{BASE}/overview", Origin=ORIGIN)
        assert response.headers["Access-Control-Allow-Origin"] == ORIGIN
        assert response.headers["Vary"] == "Accept-Encoding, Origin"
        for path, origin in ((f"{BASE}/overview", "https://other.example"), ("/", ORIGIN)):
            assert "Access-Control-Allow-Origin" not in (await api.get(path, Origin=origin))[0].headers


async def test_while_totals_are_read_back_it_says_how_far_it_is_and_shows_no_figure(api):
    api.state.rebuilding = Progress(3, 7)
    for route in ROUTES:
        response, body = await api.get(f"{BASE}{route.path}{QUERIES[route.path]}")
        assert response.status == (503 if route.needs_figures else 200)
        assert json.loads(body)["rebuilding"] == {"read": 3, "of": 7}
    assert (await api.get("/readyz"))[0].status == 503
    assert (await api.get("/healthz"))[0].status == 200
    api.state.rebuilding = None
    assert (await api.get("/readyz"))[0].status == 200
    api.state.broker_answers = False
    assert (await api.get("/readyz"))[0].status == 503


async def next_event(response, name):
    """Data of the next event of that name."""
    async with asyncio.timeout(30):
        while True:
            event = (await response.content.readuntil(b"\n\n")).decode()
            fields = dict(line.split(": ", 1) for line in event.strip().split("\n") if line)
            if fields.get("event") == name:
                return fields


async def test_events_tell_of_each_commit_and_a_watcher_that_comes_back_gets_nothing_older(api):
    async with api.client.get(STREAM_PATH) as response:
        assert response.headers["Content-Type"] == "text/event-stream"
        first = await next_event(response, "overview")
        api.commit(("P1", NOON_MS, 1))
        second = await next_event(response, "overview")
    assert json.loads(second["data"])["year"]["fen"] == json.loads(first["data"])["year"]["fen"] + 1
    assert int(second["id"]) > int(first["id"])
    ahead = int(second["id"]) + 1
    async with api.client.get(STREAM_PATH, headers={"Last-Event-ID": str(ahead)}) as response:
        await next_event(response, "status")
        api.commit(("P1", NOON_MS, 1))
        assert int((await next_event(response, "overview"))["id"]) >= ahead


@pytest.mark.parametrize("last", ["x", "-1", "9" * 400, "１"])  # noqa: RUF001 - a digit, but none of ours
async def test_a_broken_last_event_id_counts_as_none(api, last):
    reader, writer = await asyncio.open_connection("127.0.0.1", api.client.port)
    writer.write(f"GET {STREAM_PATH} HTTP/1.1\r\nHost: x\r\nLast-Event-ID: {last}\r\n\r\n".encode())
    async with asyncio.timeout(30):
        await reader.readuntil(b"event: overview")
    writer.close()


async def test_a_project_has_events_of_its_own(api):
    async with api.client.get(f"{STREAM_PATH}?project=P1") as response:
        assert json.loads((await next_event(response, "project"))["data"])["project_id"] == "P1"


async def test_more_watchers_than_may_are_asked_to_come_again(tmp_path):
    async with serving_state(tmp_path, watchers_max=2) as api:
        async with api.client.get(STREAM_PATH), api.client.get(STREAM_PATH):
            response, _ = await api.get(STREAM_PATH)
            assert (response.status, response.headers["Retry-After"]) == (503, "1")
        async with asyncio.timeout(30):
            while (await api.client.get(STREAM_PATH)).status != 200:
                api.commit(("P1", NOON_MS, 1))
                await asyncio.sleep(0.05)


async def test_a_watcher_that_takes_nothing_costs_one_event_and_gets_the_newest_state_when_it_wakes(api):
    """Its queue doesn't grow: once the kernel's buffers are full, what comes is left out until it reads again."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    connection.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(connection, ("127.0.0.1", api.client.port))
    await loop.sock_sendall(connection, f"GET {STREAM_PATH} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    for _ in range(200):
        api.commit(("P1", NOON_MS, 1))
        await api.hub.next_turn()
    (task,) = api.service.watching
    assert not task.done()
    received = b""
    async with asyncio.timeout(60):
        while b'"fen":212,' not in received:
            received = (received + await loop.sock_recv(connection, 65_536))[-300_000:]
    assert received.count(b"event: overview") < 150
    connection.close()


async def test_a_watcher_that_has_taken_nothing_for_long_is_let_go(api, monkeypatch):
    monkeypatch.setattr(limits, "WATCHER_STUCK_S", 0.2)
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    connection.connect(("127.0.0.1", api.client.port))
    connection.sendall(f"GET {STREAM_PATH} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    async with asyncio.timeout(60):
        await asyncio.sleep(0.1)
        while api.hub.watchers:
            api.commit(("P1", NOON_MS, 1))
            await asyncio.sleep(0.02)
    connection.close()


async def test_a_server_that_stops_ends_its_streams_at_once(tmp_path):
    async with serving_state(tmp_path) as api:
        response = await api.client.get(STREAM_PATH)
        await next_event(response, "overview")
        async with asyncio.timeout(20):
            await api.client.server.close()
            with pytest.raises((aiohttp.ClientError, asyncio.IncompleteReadError)):
                await next_event(response, "an event that never comes")


async def test_a_fault_of_our_own_is_told_without_its_traceback(api, monkeypatch):
    monkeypatch.setattr(type(api.state), "overview", lambda *_: 1 / 0)
    response, body = await api.get(f"{BASE}/overview")
    assert response.status == 500
    assert b"Error" not in body
    assert isinstance(api.client.app, web.Application)


@pytest.mark.parametrize("path", ["/page/api.js", f"{BASE}/overview", "/"])
@pytest.mark.parametrize(
    ("accepted", "packed"),
    [
        ("gzip", True),
        ("br;q=1.0, GZIP ; q=0.8", True),
        ("gzip;q=0", False),
        ("deflate, gzip; q=0.000", False),
        ("x-gzipped", False),
        ("identity", False),
    ],
)
async def test_what_is_packed_goes_to_those_who_take_it(api, path, accepted, packed):
    response, body = await api.get(path, **{"Accept-Encoding": accepted})
    assert response.status == 200
    assert response.headers.get("Content-Encoding") == ("gzip" if packed else None)
    assert "Accept-Encoding" in response.headers["Vary"]
    assert len(body) > 500


async def test_a_search_that_takes_long_holds_nobody_up_and_too_many_are_sent_away(api, monkeypatch):
    goes_on, search = threading.Event(), api.state.index.search

    def slow(*question):
        goes_on.wait()
        return search(*question)

    monkeypatch.setattr(api.state.index, "search", slow)
    asked = [asyncio.create_task(api.get(f"{BASE}/projects")) for _ in range(limits.SEARCHES_WAITING_MAX + 1)]
    done, waiting = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
    ((response, body),) = [each.result() for each in done]
    assert (response.status, response.headers["Retry-After"]) == (503, "1"), body
    assert (await api.get(f"{BASE}/overview"))[0].status == 200
    goes_on.set()
    assert {(await each)[0].status for each in waiting} == {200}
