import asyncio
import json

import pytest

from streams.serve import limits
from streams.serve.answers import Progress
from streams.serve.hub import OVERVIEW, Hub, Seen
from tests.serve.parts import NOON_MS, Log, live_state, take


def parts(event):
    """Name, id and data of an event."""
    fields = dict(line.split(": ", 1) for line in event.decode().strip().split("\n"))
    return fields["event"], int(fields["id"]) if "id" in fields else None, json.loads(fields["data"])


@pytest.fixture
async def world(tmp_path):
    log = Log()
    state = live_state(tmp_path, log.commit(("P1", NOON_MS, 5), ("P2", NOON_MS, 5)))
    hub = Hub(state, 0.01, lambda: NOON_MS)
    running = asyncio.create_task(hub.run())
    yield log, state, hub
    running.cancel()


def seen(position=0, now_s=lambda: 0.0):
    return Seen(position, now_s)


async def test_a_new_watcher_gets_the_newest_state_at_once(world):
    _, state, hub = world
    hub.watch(OVERVIEW)
    name, position, data = parts(hub.event_for(OVERVIEW, seen()))
    assert (name, position, data["year"]["fen"]) == ("overview", state.position, 10)


async def test_a_slow_watcher_gets_the_newest_state_and_none_of_those_between(world):
    log, state, hub = world
    hub.watch(OVERVIEW)
    watcher = seen()
    hub.event_for(OVERVIEW, watcher)
    for _ in range(5):
        hub.note(take(state, log.commit(("P1", NOON_MS, 1))))
        await hub.next_turn()
    name, position, data = parts(hub.event_for(OVERVIEW, watcher))
    assert (name, position, data["year"]["fen"]) == ("overview", state.position, 15)
    assert parts(hub.event_for(OVERVIEW, watcher))[0] == "status"


async def test_an_event_is_made_once_for_all_its_watchers(world):
    _, _, hub = world
    hub.watch(OVERVIEW)
    assert hub.event_for(OVERVIEW, seen()) is hub.event_for(OVERVIEW, seen())


async def test_a_projects_watcher_hears_of_that_project_only(world):
    log, state, hub = world
    hub.watch("P1")
    watcher = seen()
    assert parts(hub.event_for("P1", watcher))[0] == "project"
    hub.note(take(state, log.commit(("P2", NOON_MS, 1))))
    await hub.next_turn()
    assert parts(hub.event_for("P1", watcher))[0] == "status"
    hub.note(take(state, log.commit(("P1", NOON_MS, 1))))
    await hub.next_turn()
    name, _, data = parts(hub.event_for("P1", watcher))
    assert (name, {total["fen"] for total in data["totals"]}) == ("project", {6})


async def test_a_project_that_nobody_knows_yet_may_be_watched_and_appears(world):
    log, state, hub = world
    hub.watch("P9")
    watcher = seen()
    assert parts(hub.event_for("P9", watcher))[0] == "status"
    hub.note(take(state, log.commit(("P9", NOON_MS, 1))))
    await hub.next_turn()
    assert parts(hub.event_for("P9", watcher))[0] == "project"


async def test_an_id_may_be_the_name_of_an_event(world):
    log, state, hub = world
    take(state, log.commit(("overview", NOON_MS, 1), ("status", NOON_MS, 1)))
    for channel in ("overview", "status"):
        hub.watch(channel)
        hub.watch(OVERVIEW)
        assert parts(hub.event_for(channel, seen()))[2]["project_id"] == channel
        assert "year" in parts(hub.event_for(OVERVIEW, seen()))[2]


async def test_while_totals_are_read_back_no_figure_goes_out(world):
    _, state, hub = world
    state.rebuilding = Progress(1, 2)
    hub.watch(OVERVIEW)
    name, position, data = parts(hub.event_for(OVERVIEW, seen()))
    assert (name, position, data["state"], data["rebuilding"]) == ("status", None, "rebuilding", {"read": 1, "of": 2})


async def test_a_watcher_that_has_seen_more_waits_until_we_have_come_so_far(world):
    log, state, hub = world
    hub.watch(OVERVIEW)
    watcher = seen(state.position + 3)
    assert parts(hub.event_for(OVERVIEW, watcher))[0] == "status"
    while state.position < watcher.position:
        hub.note(take(state, log.commit(("P1", NOON_MS, 1))))
        await hub.next_turn()
    assert parts(hub.event_for(OVERVIEW, watcher))[0] == "overview"


async def test_where_the_topics_were_made_anew_it_is_told_to_begin_anew(world):
    _, state, hub = world
    hub.watch(OVERVIEW)
    now_s = 0.0
    watcher = seen(state.position + 1_000, lambda: now_s)
    assert parts(hub.event_for(OVERVIEW, watcher))[0] == "status"
    now_s = limits.CATCH_UP_WAIT_S + 1
    reset, overview = hub.event_for(OVERVIEW, watcher).decode().strip().split("\n\n")
    assert reset.startswith("event: reset")
    assert overview.startswith("event: overview")


async def test_who_leaves_leaves_nothing_behind(world):
    log, state, hub = world
    for _ in range(2):
        hub.watch("P1")
        hub.event_for("P1", seen())
    hub.note(take(state, log.commit(("P1", NOON_MS, 1))))
    await hub.next_turn()
    hub.leave("P1")
    assert hub.watchers == 1
    hub.leave("P1")
    assert hub.watchers == 0
    assert not [each for each in (*hub._due, *hub._made, *hub._watched) if "P1" in each]


async def test_without_news_watchers_are_woken_all_the_same(world, monkeypatch):
    _, _, hub = world
    monkeypatch.setattr(limits, "STATUS_INTERVAL_S", 0.05)
    turn = hub.turn
    async with asyncio.timeout(20):
        while hub.turn < turn + 3:
            await hub.next_turn()
