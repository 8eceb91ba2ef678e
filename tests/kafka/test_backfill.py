"""The same year of orders on the real broker, in one go and live in pieces: the same totals, byte for byte."""

import random
from collections.abc import Sequence

import msgspec

from schemas.order import FixedPledge, OrderCompleted, OrderLine, RatePledge, encode_order
from schemas.totals import TotalKey, encode_total, key_of
from streams.engine.sender import open_sender
from streams.engine.topic_admin import create_topics
from streams.settings import Settings
from streams.views.totals import read_totals
from tests.kafka.workers import WorkerProcess, audited, running_workers

YEAR_START_MS = 1_577_836_800_000  # 2020-01-01T00:00:00Z
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
ORDERS = 3_000
PIECES = 12


def a_year(seed: int) -> list[OrderCompleted]:
    """Orders of a year about in the order of their times, some up to 47 hours late, some again, a few as conflicts."""
    rng = random.Random(seed)
    orders: list[OrderCompleted] = []
    for number in range(ORDERS):
        if orders and rng.random() < 0.05:
            again = rng.choice(orders[-200:])
            orders.append(again if rng.random() < 0.8 else msgspec.structs.replace(again, merchant_id="m2"))
            continue
        now_ms = YEAR_START_MS + 366 * DAY_MS * number // ORDERS
        late_ms = rng.choice([0, 0, 0, rng.randrange(DAY_MS // 24), rng.randrange(47 * HOUR_MS)])
        lines = tuple(
            OrderLine(at, "i1", rng.randrange(1, 10**6), pledge)
            for at, pledge in enumerate(rng.choices(pledges(rng), k=rng.choice([1, 1, 2, 4])))
        )
        orders.append(OrderCompleted(f"o{number}", f"b{rng.randrange(300)}", "m1", max(now_ms - late_ms, 1), lines))
    return orders


def pledges(rng: random.Random) -> list[FixedPledge | RatePledge | None]:
    project_id = f"P{rng.randrange(12):04}"
    return [None, FixedPledge(project_id, rng.randrange(1, 100)), RatePledge(project_id, rng.randrange(1, 10_000))]


async def send(settings: Settings, orders: Sequence[OrderCompleted]) -> None:
    async with open_sender(settings, settings.topics.orders) as sender:
        await sender.send([order.buyer_id.encode() for order in orders], [encode_order(order) for order in orders])
        await sender.flush()


async def play_in_one_go(settings: Settings, orders: Sequence[OrderCompleted]) -> None:
    await send(settings, orders)
    with running_workers(settings) as workers:
        workers.start()
        await audited(settings, workers)


async def play_live(settings: Settings, orders: Sequence[OrderCompleted]) -> None:
    """Piece after piece while two workers run, one of which ends and comes back from time to time, or is killed."""
    size = len(orders) // PIECES
    with running_workers(settings) as workers:
        running: list[WorkerProcess] = [workers.start(), workers.start()]
        for piece in range(PIECES):
            await send(settings, orders[piece * size : (piece + 1) * size])
            if piece % 4 == 1:
                await audited(settings, workers)  # all of it is through: what comes now is later, or late
            if piece % 3 == 2:
                victim = running.pop(0)
                if piece % 2:
                    victim.kill()
                else:
                    assert victim.stop() == 0
                running.append(workers.start())
        await audited(settings, workers)


async def newest(settings: Settings) -> dict[TotalKey, bytes]:
    """The totals' bytes, but for what says when things came."""
    found = await read_totals(settings)
    assert found.unreadable == 0
    same = {"revision": 0, "watermark_ms": 0, "late_fen": 0}
    return {key_of(each.total): encode_total(msgspec.structs.replace(each.total, **same)) for each in found.totals}


async def test_a_year_in_one_go_and_live_in_pieces_with_restarts_gives_the_same_totals(settings: Settings) -> None:
    seed = random.SystemRandom().randrange(10**6)
    print(f"seed {seed}")
    orders = a_year(seed)
    assert len(orders) % PIECES == 0
    here = {"timezone": "America/New_York", "idle_after_ms": 3_600_000, "commit_interval_ms": 50}  # nobody falls idle
    backfill = settings.model_copy(update={**here, "topic_prefix": f"{settings.topic_prefix}backfill-"})
    live = settings.model_copy(
        update={**here, "topic_prefix": f"{settings.topic_prefix}live-", "app_id": f"{settings.app_id}-live"}
    )
    for deployment in (backfill, live):
        await create_topics(deployment)
    await play_in_one_go(backfill, orders)
    await play_live(live, orders)
    of_backfill, of_live = await newest(backfill), await newest(live)
    assert len(of_backfill) > 1_000
    assert of_live == of_backfill
    late = [each for each in (await read_totals(live)).totals if each.total.late_fen]
    final = [each for each in (await read_totals(live)).totals if each.total.final]
    assert late, "nothing came late: the test shows less than it says"
    assert final
