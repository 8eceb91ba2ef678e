"""Holds what becomes visible against the model, record by record, as it becomes visible."""

import json
from dataclasses import asdict
from typing import Any

from aiokafka import ConsumerRecord

from schemas.topics import Topics
from tests.simulation.kafka import PartitionLog
from tests.simulation.model import Model
from tests.simulation.orders import Input

RETAINED_KINDS = ("day", "month", "year", "all")


class WrongError(Exception):
    """The run broke a promise."""


class Judge:
    """Remembers the first broken promise; the world ends the run when there is one."""

    def __init__(self, topics: Topics, model: Model, *, released_after_ms: dict[str, int]) -> None:
        self.failure: Exception | None = None
        self.totals: dict[tuple[str, str, int], dict[str, Any]] = {}  # the newest of each key
        self.released: set[tuple[str, str, int]] = set()
        self.donations = [0] * len(model.partitions)
        self.refused = [0] * len(model.partitions)
        self._model = model
        self._released_after_ms = released_after_ms
        self._inputs: dict[tuple[int, int], Input] = {}
        self._latest_ms = 0
        self._home: dict[str, int] = {}  # project -> its partition
        self._sees = {
            topics.donations: self._see_donation,
            topics.rejected_orders: self._see_refused,
            topics.project_totals: self._see_total,
        }

    def watch(self, log: PartitionLog) -> None:
        log.listeners.append(self._on_stable)

    def fail(self, message: str, cause: BaseException | None = None) -> None:
        if self.failure is None:
            self.failure = WrongError(message)
            self.failure.__cause__ = cause

    def take_input(self, partition: int, offset: int, appended_ms: int, given: Input) -> None:
        self._inputs[partition, offset] = given
        if not isinstance(given.meaning, str):
            self._latest_ms = max(self._latest_ms, given.meaning.completed_at)
        self._model.partitions[partition].take(offset, appended_ms, given.meaning)

    def _on_stable(self, log: PartitionLog, before: int) -> None:
        see = self._sees[log.tp.topic]
        for record in log.read(before, log.stable):
            if self.failure is None:
                try:
                    see(record)
                except WrongError as error:
                    self.failure = error

    def _see_donation(self, record: ConsumerRecord) -> None:
        gifts, index = self._model.partitions[record.partition].gifts, self.donations[record.partition]
        found = json.loads(record.value)
        where = f"donation {index} of partition {record.partition}"
        expected = asdict(gifts[index]) if index < len(gifts) else None
        if found != expected:
            raise WrongError(f"{where}: found {found}, expected {expected}")
        if record.key != found["buyer_id"].encode() or record.timestamp != found["donated_at"]:
            raise WrongError(f"{where}: key {record.key!r}, timestamp {record.timestamp}")
        self.donations[record.partition] += 1

    def _see_refused(self, record: ConsumerRecord) -> None:
        partition = record.partition
        refused, index = self._model.partitions[partition].refused, self.refused[partition]
        headers = dict(record.headers)
        found = (int(headers["source-offset"]), headers["reason"].decode())
        expected = refused[index] if index < len(refused) else None
        if found != expected:
            raise WrongError(f"refused order {index} of partition {partition}: found {found}, expected {expected}")
        given = self._inputs[partition, found[0]]
        if (record.key, record.value) != (given.key, given.value):
            raise WrongError(f"refused order {found} of partition {partition}: not the bytes that came")
        self.refused[partition] += 1

    def _see_total(self, record: ConsumerRecord) -> None:
        project_id, kind, start = record.key.decode().split("|")
        key = (project_id, kind, int(start))
        if self._home.setdefault(project_id, record.partition) != record.partition:
            raise WrongError(f"totals of {project_id} on partitions {self._home[project_id]} and {record.partition}")
        if record.value is None:
            self._see_release(key)
            return
        found = json.loads(record.value)
        if key in self.released:
            raise WrongError(f"{key} is back after its release: {found}")
        if (found["project_id"], found["window"], found["start_ms"]) != key:
            raise WrongError(f"the total of {key} says {found}")
        before = self.totals.get(key, {"revision": 0, "fen": 0, "donations": 0, "late_fen": 0, "final": False})
        if found["revision"] <= before["revision"]:
            raise WrongError(f"the revision of {key} went from {before} to {found}")
        for field in ("fen", "donations", "late_fen", "final"):
            if found[field] < before[field]:
                raise WrongError(f"{field} of {key} fell from {before} to {found}")
        fen, donations = self._model.sums.get(key, (0, 0))
        if found["fen"] > fen or found["donations"] > donations or found["late_fen"] > found["fen"]:
            raise WrongError(f"{key}: more than was given ({fen} fen in {donations} donations): {found}")
        self.totals[key] = found

    def _see_release(self, key: tuple[str, str, int]) -> None:
        if key in self.released:
            raise WrongError(f"{key} was released twice")
        if key[1] in RETAINED_KINDS or not self._may_be_released(key):
            raise WrongError(f"{key} was released before its time")
        self.released.add(key)

    def _may_be_released(self, key: tuple[str, str, int]) -> bool:
        _, kind, start_ms = key
        length_ms = {"minute": 60_000, "hour": 3_600_000}.get(kind)
        return length_ms is not None and start_ms + length_ms + self._released_after_ms[kind] <= self._latest_ms

    def missing(self) -> list[str]:
        """What the output lacks of all that the input so far must give; empty when everything has come out."""
        found = []
        for partition, model in enumerate(self._model.partitions):
            if self.donations[partition] < len(model.gifts):
                found.append(f"partition {partition}: donation {model.gifts[self.donations[partition]]}")
            if self.refused[partition] < len(model.refused):
                found.append(f"partition {partition}: refused {model.refused[self.refused[partition]]}")
        for key, (fen, donations) in self._model.sums.items():
            total = self.totals.get(key)
            if key in self.released or (total is None and self._may_be_released(key)):
                continue
            if total is None or (total["fen"], total["donations"]) != (fen, donations):
                found.append(f"{key}: {fen} fen in {donations} donations expected, found {total}")
        return found
