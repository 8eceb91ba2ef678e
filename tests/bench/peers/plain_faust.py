"""The same job as a reader of Faust's documentation would write it: two agents, a windowed table, Faust's guarantees.

`python plain_faust.py at_least_once|exactly_once`; where Kafka is and what the topics are called stands in the
environment, as for our worker. It does less than ours: one kind of window (hours) instead of six, no refusal of what is
malformed, no memory of repeats, no watermarks, no numbered ledger. Nothing in it is slower than it has to be: orders
stay plain dicts, tables stay in memory, nothing is logged, no window expires (Faust would go by the wall clock).
"""

import sys
import tempfile
from typing import Any

import faust

from streams.settings import Settings, load_settings

HOUR_S = 3_600.0
READY = "first order"  # printed when it comes: all that went before is start-up
BPS_PER_WHOLE = 10_000
MINIMUM_RATE_DONATION_FEN = 2


def donations_topic(settings: Settings) -> str:
    return f"{settings.topic_prefix}plain-donations"


def changelog_topic(settings: Settings) -> str:
    return f"{settings.app_id}-hourly-changelog"


def donation_fen(pledge: dict[str, Any], paid_fen: int) -> int:
    if pledge["kind"] == "fixed":
        return min(int(pledge["fen"]), paid_fen)
    share_fen = (paid_fen * int(pledge["bps"]) + BPS_PER_WHOLE // 2) // BPS_PER_WHOLE
    return min(max(share_fen, MINIMUM_RATE_DONATION_FEN), paid_fen)


def create_app(settings: Settings, guarantee: str, folder: str) -> faust.App:
    app = faust.App(
        settings.app_id,
        broker=f"kafka://{settings.broker}",
        store="memory://",
        processing_guarantee=guarantee,
        topic_partitions=settings.partitions,
        topic_replication_factor=1,
        topic_disable_leader=True,
        web_enabled=False,
        datadir=folder,
    )
    orders = app.topic(settings.topics.orders, key_serializer="raw", value_serializer="json")
    donations = app.topic(
        donations_topic(settings), key_type=str, key_serializer="raw", value_serializer="json", internal=True
    )
    hourly = app.Table("hourly", default=int, key_type=str, partitions=settings.partitions).tumbling(HOUR_S)
    started = False

    @app.agent(orders)
    async def split(stream: Any) -> None:
        nonlocal started
        async for order in stream:
            if not started:
                started = True
                print(READY, flush=True)
            for line in order["lines"]:
                pledge = line.get("pledge")
                if pledge is not None:
                    donation = {
                        "donation_id": f"{order['order_id']}:{line['line']}",
                        "order_id": order["order_id"],
                        "buyer_id": order["buyer_id"],
                        "merchant_id": order["merchant_id"],
                        "item_id": line["item_id"],
                        "project_id": pledge["project_id"],
                        "fen": donation_fen(pledge, line["paid_fen"]),
                        "donated_at": order["completed_at"],
                    }
                    await donations.send(
                        key=pledge["project_id"], value=donation, timestamp=order["completed_at"] / 1_000
                    )

    @app.agent(donations)
    async def total(stream: Any) -> None:
        async for donation in stream:
            hourly[donation["project_id"]] += donation["fen"]

    return app


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="plain-faust-") as folder:
        app = create_app(load_settings(), sys.argv[1], folder)
        faust.Worker(app, loglevel="WARN", redirect_stdouts=False).execute_from_commandline()


if __name__ == "__main__":
    main()
