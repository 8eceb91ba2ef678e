"""Workers that come, go, die and freeze at random under a load: nothing lost, nothing doubled."""

import asyncio
import random
import signal

from streams.domain.load import LoadPlan
from streams.settings import Settings
from streams.simulation import run_simulation
from tests.kafka.workers import WorkerProcess, Workers, audited_as_planned, drawn_seed, running_workers

CHURN_S = 120
PAUSE_S = (0.5, 5.0)  # between two events; sessions last 3 s, so some of the frozen are missed and some are not
ORDERS_PER_SECOND = 800


class Place:
    """A worker's place: where one ended, another one may start."""

    def __init__(self, workers: Workers) -> None:
        self._workers = workers
        self.worker: WorkerProcess | None = None
        self.frozen = False

    def happen(self, chance: random.Random) -> str:
        """One event that may happen now; what it was."""
        if self.worker is None:
            self.worker = self._workers.start()
            return "start"
        if self.frozen:
            self.wake()
            return "wake"
        match chance.choice(["kill", "stop", "freeze"]):
            case "kill":
                self.worker.kill()
                self.worker = None
                return "kill"
            case "stop":
                status = self.worker.stop()
                # One that is still being loaded doesn't listen to signals yet: it has nothing to finish.
                assert status == 0 or not self.worker.text(), (status, self.worker.text())
                self.worker = None
                return "stop"
        self.worker.signal(signal.SIGSTOP)
        self.frozen = True
        return "freeze"

    def wake(self) -> None:
        if self.frozen and self.worker is not None:
            self.worker.signal(signal.SIGCONT)
            self.frozen = False


async def test_three_workers_that_come_and_go_at_random_for_two_minutes_lose_and_double_nothing(
    topics: Settings,
) -> None:
    seed = drawn_seed()
    chance = random.Random(seed)
    plan = LoadPlan(CHURN_S * ORDERS_PER_SECOND, seed=seed, repeats_share=0.01, malformed_share=0.01)
    loop = asyncio.get_running_loop()
    with running_workers(topics) as workers:
        places = [Place(workers) for _ in range(3)]
        for place in places:
            place.happen(chance)
        sending = asyncio.create_task(run_simulation(topics, plan, orders_per_second=ORDERS_PER_SECOND))
        began = loop.time()
        while loop.time() < began + CHURN_S:
            await asyncio.sleep(chance.uniform(*PAUSE_S))
            number = chance.randrange(3)
            what = await asyncio.to_thread(places[number].happen, chance)
            print(f"{loop.time() - began:5.1f} s: {what} {number}")
        for place in places:
            place.wake()
            if place.worker is None:
                place.happen(chance)
        await sending
        await audited_as_planned(topics, plan, workers)
        assert [place.worker.process.poll() for place in places] == [None] * 3, workers.logs()
        assert "Traceback" not in workers.logs(), workers.logs()
