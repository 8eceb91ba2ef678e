"""The soak in its short form: all that it asks for but speed and memory, which a short run can't tell."""

import random

from streams.engine.topic_admin import create_topics
from streams.settings import Settings
from tests.kafka.workers import running_workers
from tests.soak.plan import SoakPlan, soak_settings
from tests.soak.run import run_soak

EVENTUAL = (
    "the audit says conserved",
    "every probe became visible",
    "no livelock, no error, no unasked end",
    "each restart settled and drained before the next one",
)


async def test_under_live_load_a_restart_of_either_kind_holds_totals_back_but_loses_and_doubles_nothing(
    settings: Settings,
) -> None:
    # A kill takes the session (10 s) and the group's settling, 12 to 17 s in all; the next must not come before.
    plan = SoakPlan(75, orders_per_second=500, restart_every_s=25, seed=random.SystemRandom().randrange(10**6))
    print(f"again: {plan.command}")
    settings = soak_settings(settings)
    await create_topics(settings)
    with running_workers(settings) as workers:
        sights = await run_soak(settings, plan, workers, print)
    criteria = {each.name: each for each in sights.criteria()}
    assert [criteria[name] for name in EVENTUAL if not criteria[name].is_met] == []
    assert [restart.kind for restart in sights.restarts] == ["SIGTERM", "SIGKILL"]
    assert [life.worker for life in sights.lives] == [2, 2, 2]
    assert sights.within(sights.restarts)
    assert sights.outside()
    counts = sights.audit["counts"]
    sent = sights.load
    assert counts["orders"] == sent["orders"] + sent["repeats"] + sent["malformed"] + sights.probes_sent
    assert sum(counts["rejected"].values()) == sent["malformed"] > 0
    assert 0 < counts["repeats"] <= sent["repeats"]  # one without a pledge leaves no trace to be known by
    assert counts["donations"] == sent["donations"] + sights.probes_sent
    assert counts["fen"] == sent["fen"] + sights.probes_sent
