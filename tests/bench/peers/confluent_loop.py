"""The same job as a hand-written loop over confluent-kafka (librdkafka): fast, exactly once, and nothing else.

`python confluent_loop.py`; where Kafka is and what the topics are called stands in the environment, as for our worker.
One process takes every partition, so nothing is shuffled and the totals are plain dicts. The donation records, the six
windows and a transaction per commit are ours; it refuses nothing, drops no repeats, judges nothing late, and restores
nothing: a second start would go on from its offsets with empty totals and number its donations anew.
"""

import gc
import signal
import sys
import time
from typing import Any

import orjson
from confluent_kafka import Consumer, Producer

from streams.domain.windows import Calendar, Window, minute_of
from streams.settings import Settings, load_settings

BPS_PER_WHOLE = 10_000
MINIMUM_RATE_DONATION_FEN = 2
POLL_RECORDS = 10_000
POLL_S = 0.1
COMMIT_S = 1.5  # as seldom as our own commits become under a backlog
READY = "subscribed"


def donation_fen(pledge: dict[str, Any], paid_fen: int) -> int:
    if pledge["kind"] == "fixed":
        return min(pledge["fen"], paid_fen)
    share_fen = (paid_fen * pledge["bps"] + BPS_PER_WHOLE // 2) // BPS_PER_WHOLE
    return min(max(share_fen, MINIMUM_RATE_DONATION_FEN), paid_fen)


class Totals:
    """The running totals, and the sums of the open transaction by project and minute."""

    def __init__(self, timezone: str) -> None:
        self._calendar = Calendar(timezone)
        self._totals: dict[tuple[str, Window], list[int]] = {}
        self.sums: dict[tuple[str, int], list[int]] = {}

    def fold(self) -> dict[tuple[str, Window], list[int]]:
        """The totals that changed, each as fen, donations, revision."""
        changed: dict[tuple[str, Window], list[int]] = {}
        totals, windows_at = self._totals, self._calendar.windows_at
        for (project_id, minute), (fen, donations) in self.sums.items():
            for window in windows_at(minute):
                key = (project_id, window)
                total = changed.get(key)
                if total is None:
                    total = changed[key] = totals.setdefault(key, [0, 0, 0])
                    total[2] += 1
                total[0] += fen
                total[1] += donations
        self.sums.clear()
        return changed


class Loop:
    """Consume, split, add up; a transaction every `COMMIT_S`."""

    def __init__(self, settings: Settings) -> None:
        self._topics = settings.topics
        self._lateness_ms = settings.allowed_lateness_ms
        self._consumer = Consumer(
            {
                "bootstrap.servers": settings.broker,
                "group.id": settings.app_id,
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "isolation.level": "read_committed",
                "check.crcs": True,
                "fetch.message.max.bytes": 1 << 20,
                "queued.max.messages.kbytes": 64 << 10,
            }
        )
        self._producer = Producer(
            {
                "bootstrap.servers": settings.broker,
                "transactional.id": settings.app_id,
                "compression.type": "zstd",
                "compression.level": 1,
                "linger.ms": 100,
                "batch.size": 256 << 10,
                "batch.num.messages": 100_000,
                "queue.buffering.max.messages": 2_000_000,
                "queue.buffering.max.kbytes": 1 << 20,
                "message.max.bytes": 2 << 20,
                "delivery.report.only.error": True,
            }
        )
        self._totals = Totals(settings.timezone)
        self._seqs = [0] * settings.partitions
        self._highest_ms = 0
        self.stopped = False

    def run(self) -> None:
        self._consumer.subscribe([self._topics.orders])
        self._producer.init_transactions()
        print(READY, flush=True)
        self._producer.begin_transaction()
        commit_at, pending = time.monotonic() + COMMIT_S, False
        while not self.stopped:
            messages = self._consumer.consume(POLL_RECORDS, POLL_S)
            if messages:
                self._split(messages)
                pending = True
            if time.monotonic() >= commit_at:
                if pending:
                    self._commit()
                    self._producer.begin_transaction()
                commit_at, pending = time.monotonic() + COMMIT_S, False
        self._producer.abort_transaction()
        self._consumer.close()

    def _split(self, messages: list[Any]) -> None:
        produce, topic, sums, seqs = self._producer.produce, self._topics.donations, self._totals.sums, self._seqs
        loads, dumps = orjson.loads, orjson.dumps
        highest_ms = self._highest_ms
        for message in messages:
            if message.error() is not None:
                raise RuntimeError(str(message.error()))
            order, partition = loads(message.value()), message.partition()
            order_id, completed_at, offset = order["order_id"], order["completed_at"], message.offset()
            highest_ms = max(highest_ms, completed_at)
            for line in order["lines"]:
                pledge = line.get("pledge")
                if pledge is None:
                    continue
                fen, project_id = donation_fen(pledge, line["paid_fen"]), pledge["project_id"]
                donation = {
                    "donation_id": f"{order_id}:{line['line']}",
                    "seq": seqs[partition],
                    "order_id": order_id,
                    "line": line["line"],
                    "buyer_id": order["buyer_id"],
                    "merchant_id": order["merchant_id"],
                    "item_id": line["item_id"],
                    "project_id": project_id,
                    "fen": fen,
                    "donated_at": completed_at,
                    "source_offset": offset,
                }
                seqs[partition] += 1
                produce(topic, dumps(donation), message.key(), partition, timestamp=completed_at)
                sum_ = sums.get((project_id, minute_of(completed_at)))
                if sum_ is None:
                    sums[project_id, minute_of(completed_at)] = [fen, 1]
                else:
                    sum_[0] += fen
                    sum_[1] += 1
        self._highest_ms = highest_ms

    def _commit(self) -> None:
        watermark_ms = self._highest_ms - self._lateness_ms
        produce, topic = self._producer.produce, self._topics.project_totals
        for (project_id, window), (fen, donations, revision) in self._totals.fold().items():
            total = {
                "project_id": project_id,
                "window": window.kind,
                "start_ms": window.start_ms,
                "end_ms": window.end_ms,
                "start": window.start,
                "fen": fen,
                "donations": donations,
                "late_fen": 0,
                "watermark_ms": watermark_ms,
                "final": window.end_ms is not None and window.end_ms <= watermark_ms,
                "revision": revision,
            }
            produce(topic, orjson.dumps(total), f"{project_id}|{window.kind}|{window.start_ms}".encode())
        positions = self._consumer.position(self._consumer.assignment())
        self._producer.send_offsets_to_transaction(
            [each for each in positions if each.offset >= 0], self._consumer.consumer_group_metadata()
        )
        self._producer.commit_transaction()


def main() -> None:
    gc.disable()  # nothing here makes cycles
    loop = Loop(load_settings())

    def stop(*_: object) -> None:
        loop.stopped = True

    signal.signal(signal.SIGTERM, stop)
    loop.run()
    sys.exit(0)


if __name__ == "__main__":
    main()
