"""Input with its meaning: records of `orders`, each with what it was made to say.

The model reads the meaning and never the bytes, so a mistake in decoding is seen as well.
"""

import json
import random
from dataclasses import dataclass, replace

HOUR_MS = 3_600_000


@dataclass(frozen=True)
class Line:
    """One line of an order. The pledge: nothing, an amount in fen, or basis points."""

    line: int
    item_id: str
    paid_fen: int
    project_id: str | None = None
    fixed_fen: int | None = None
    bps: int | None = None


@dataclass(frozen=True)
class Order:
    """A well-formed order."""

    order_id: str
    buyer_id: str
    merchant_id: str
    completed_at: int
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Input:
    """A record to be: `meaning` is the order, or the reason for which it must be refused."""

    key: bytes | None
    value: bytes | None
    meaning: Order | str


def to_json(order: Order) -> dict:
    lines = []
    for line in order.lines:
        pledge = None
        if line.project_id is not None:
            pledge = {"project_id": line.project_id}
            pledge |= (
                {"kind": "rate", "bps": line.bps}
                if line.fixed_fen is None
                else {"kind": "fixed", "fen": line.fixed_fen}
            )
        lines.append({"line": line.line, "item_id": line.item_id, "paid_fen": line.paid_fen, "pledge": pledge})
    return {
        "order_id": order.order_id,
        "buyer_id": order.buyer_id,
        "merchant_id": order.merchant_id,
        "completed_at": order.completed_at,
        "lines": lines,
    }


def well_formed(order: Order) -> Input:
    return Input(order.buyer_id.encode(), json.dumps(to_json(order)).encode(), order)


@dataclass
class Habits:
    """How this run's buyers and clocks behave; drawn once for a run."""

    repeats: float
    conflicts: float
    malformed: float
    future: float
    unpledged: float
    projects: int
    speed: float  # of event time, against the wall clock
    behind_ms: int  # event time at the start, against the wall clock
    late_max_ms: int
    revisits: float  # orders of a time at which there was one before: windows that were final or released long ago
    round_ms: int  # event times are multiples of this: edges of windows, and of the slices by which repeats are known


def draw_habits(chance: random.Random) -> Habits:
    live = chance.random() < 0.3
    return Habits(
        repeats=chance.choice((0.0, 0.05, 0.3)),
        conflicts=chance.choice((0.0, 0.03, 0.1)),
        malformed=chance.choice((0.0, 0.03, 0.15)),
        future=chance.choice((0.0, 0.02)),
        unpledged=chance.choice((0.1, 0.5)),
        projects=chance.choice((1, 3, 5, 12)),
        speed=chance.choice((1.0, 60.0)) if live else chance.choice((100.0, 1_000.0, 10_000.0)),
        behind_ms=chance.choice((0, -20 * HOUR_MS)) if live else chance.choice((30, 3 * 365)) * 24 * HOUR_MS,
        late_max_ms=chance.choice((0, 60_000, HOUR_MS, 30 * HOUR_MS)),
        revisits=chance.choice((0.0, 0.1, 0.6)),
        round_ms=chance.choice((1, 1, 150_000, HOUR_MS)),
    )


class Source:
    """Makes the orders of one run, as time goes on."""

    def __init__(self, chance: random.Random, wall_start_ms: int, partitions: int) -> None:
        self.habits = draw_habits(chance)
        self._chance = chance
        self._start_ms = wall_start_ms - self.habits.behind_ms
        self._wall_start_ms = wall_start_ms
        self._sent: list[list[Order]] = [[] for _ in range(partitions)]
        self._count = 0

    def next_input(self, partition: int, wall_ms: int) -> Input:
        chance, habits, sent = self._chance, self.habits, self._sent[partition]
        draw = chance.random()
        if draw < habits.malformed:
            return self._malformed(partition, wall_ms)
        if sent and draw < habits.malformed + habits.repeats:
            before = chance.choice(sent[-30:] if chance.random() < 0.8 else sent)
            return well_formed(self._again(before))
        order = self._new_order(partition, wall_ms)
        if sent and chance.random() < habits.conflicts:
            order = replace(order, order_id=chance.choice(sent).order_id)
        elif sent and chance.random() < habits.revisits:
            order = replace(order, completed_at=chance.choice(sent).completed_at)
        elif chance.random() < habits.future:
            order = replace(order, completed_at=wall_ms + 24 * HOUR_MS + chance.choice((1, 1_000, 1_000 * HOUR_MS)))
        sent.append(order)
        return well_formed(order)

    def _again(self, order: Order) -> Order:
        """The same order; sometimes with a difference that no donation shows."""
        if self._chance.random() < 0.9:
            return order
        return replace(
            order, lines=tuple(replace(line, paid_fen=9) if line.project_id is None else line for line in order.lines)
        )

    def _event_ms(self, wall_ms: int) -> int:
        habits, chance = self.habits, self._chance
        now_ms = self._start_ms + int((wall_ms - self._wall_start_ms) * habits.speed)
        late_ms = chance.randint(0, habits.late_max_ms) if chance.random() < 0.25 else chance.randint(0, 2_000)
        event_ms = max(now_ms - late_ms, 1)
        return event_ms - event_ms % habits.round_ms

    def _new_order(self, partition: int, wall_ms: int) -> Order:
        chance = self._chance
        self._count += 1
        lines = tuple(self._new_line(line) for line in range(chance.choice((1, 1, 1, 2, 4))))
        buyer = f"b{partition}-{chance.randint(0, 3)}"
        return Order(f"o{self._count}", buyer, f"m{chance.randint(0, 1)}", self._event_ms(wall_ms), lines)

    def _new_line(self, number: int) -> Line:
        chance = self._chance
        paid_fen = chance.choice((1, 3, 100, 12_345, 10**12))
        line = Line(number * 3, f"i{number}", paid_fen)
        if chance.random() < self.habits.unpledged:
            return line
        project_id = f"P{chance.randint(1, self.habits.projects)}"
        if chance.random() < 0.6:
            return replace(line, project_id=project_id, fixed_fen=chance.choice((1, 2, 10, 10**6)))
        return replace(line, project_id=project_id, bps=chance.choice((1, 30, 5_000, 10_000)))

    def _malformed(self, partition: int, wall_ms: int) -> Input:
        order = self._new_order(partition, wall_ms)
        key, fields = order.buyer_id.encode(), to_json(order)
        kind = self._chance.randrange(6)
        if kind == 0:
            return Input(key, None, "not-json")
        if kind == 1:
            return Input(key, json.dumps(fields).encode()[:-1], "not-json")
        if kind == 2:
            return Input(None, json.dumps(fields).encode(), "invalid")
        if kind == 3:
            return Input(b"somebody else", json.dumps(fields).encode(), "invalid")
        if kind == 4:
            return Input(key, json.dumps(fields | {"lines": []}).encode(), "invalid")
        return Input(key, json.dumps(fields | {"completed_at": float(wall_ms) + 0.5}).encode(), "invalid")
