"""What a soak does, and how its event time goes by."""

import time
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from schemas.units import HOUR_MS, MINUTE_MS
from streams.settings import Settings

REPEATS_SHARE = 0.002
MALFORMED_SHARE = 0.001  # a 500th of these is a megabyte
SPAN_HOURS_MAX = 10  # of event time: even from midnight on, that is less ahead of the broker's clock than it may be
EVENT_SPEED_MAX = 30  # 20 minutes are 10 hours
# Everything that a worker forgets by event time, it forgets as soon as it may: so all of it is full, and turns over,
# within the first quarter (2.5 hours), and whatever grows after that is a leak.
SHORTEST_MEMORY = {"dedupe_horizon_hours": 1, "minute_retention_hours": 1, "hour_retention_hours": 1}


@dataclass(frozen=True, slots=True)
class SoakPlan:
    """Raises ValueError, naming the option, for what can't be done."""

    seconds: float = 1_200
    orders_per_second: float = 5_000
    restart_every_s: float = 60
    workers: int = 2
    seed: int = 1
    probe_every_ms: int = 50

    def __post_init__(self) -> None:
        if self.workers < 2:
            raise ValueError("--workers: one is never restarted, so there must be two at least")
        if self.restart_every_s < 5:
            raise ValueError("--restart-every: a worker takes some seconds to start, so 5 at least")
        if self.seconds < 2 * self.restart_every_s:
            raise ValueError("--minutes: too few for a restart")
        if self.event_speed < 1:
            raise ValueError("--minutes: 10 hours at most, as event time must not be a day ahead")
        if self.orders_per_second < 1:
            raise ValueError("--rate: 1 at least")

    @property
    def event_speed(self) -> int:
        """How many times as fast as the wall clock event time goes by."""
        return min(EVENT_SPEED_MAX, int(SPAN_HOURS_MAX * HOUR_MS / (self.seconds * 1_000)))

    @property
    def restarts_at_s(self) -> list[float]:
        """When, from the start of the load; each has the time of a whole interval before the end."""
        count = int(self.seconds / self.restart_every_s) - 1
        return [self.restart_every_s * number for number in range(1, count + 1)]

    @property
    def command(self) -> str:
        """What does the same again."""
        return (
            f"python -m tests.soak --minutes {self.seconds / 60:g} --rate {self.orders_per_second:g} "
            f"--restart-every {self.restart_every_s:g} --workers {self.workers} --seed {self.seed}"
        )

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "event_speed": self.event_speed}


@dataclass(frozen=True, slots=True)
class EventClock:
    """Event time: `start_ms` at `origin_ms` of the wall clock, and from there on `speed` times as fast."""

    origin_ms: int
    start_ms: int
    speed: int

    def at(self, wall_ms: int) -> int:
        return self.start_ms + (wall_ms - self.origin_ms) * self.speed

    def now_ms(self) -> int:
        return self.at(time.time_ns() // 1_000_000)


def event_start_ms(now_ms: int, timezone: str, span_ms: int) -> int:
    """Where event time begins: ahead of the wall clock, at a full hour, and all of the span on one day.

    Ahead, so that a restore finds its place in `donations` by time, as it does live: the markers of transactions carry
    the wall clock, and where events lie before it, a restore reads everything. On one day, as days are never released.
    """
    hour_ms = (now_ms // HOUR_MS + 1) * HOUR_MS
    zone = ZoneInfo(timezone)
    first = datetime.fromtimestamp(hour_ms / 1_000, zone)
    last = datetime.fromtimestamp((hour_ms + span_ms + MINUTE_MS) / 1_000, zone)
    if first.date() == last.date():
        return hour_ms
    midnight = datetime.combine(first.date() + timedelta(days=1), datetime.min.time(), zone)
    return int(midnight.timestamp()) * 1_000


def soak_settings(settings: Settings) -> Settings:
    """Settings of a soak's workers: those that it depends on, whatever the environment has."""
    return settings.model_copy(update={**SHORTEST_MEMORY, "metrics_port": 0, "log_format": "json", "log_level": "info"})
