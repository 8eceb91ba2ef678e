"""`python -m tests.soak`: live load for long, a worker restarted every minute; latency, memory, logs and the audit.

Kafka is the embedded one, on this machine, unless EVERYCENT_BROKER names another. Progress goes to stderr, what was
found to stdout. Exit status: 0 if all that a soak must show was shown, 1 if not, 2 if it couldn't be run.
"""

import argparse
import asyncio
import json
import random
import signal
import sys
import time
import uuid
from os import environ
from typing import Any

from streams.engine.topic_admin import create_topics
from streams.errors import ExitStatus, UserError
from streams.settings import load_settings
from tests.bench import machine
from tests.bench.options import say
from tests.kafka.own_broker import broker_for_run
from tests.kafka.workers import running_workers
from tests.soak.figures import Sights
from tests.soak.plan import SoakPlan, soak_settings
from tests.soak.run import run_soak


def main() -> int:
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # told to end, we first end what we started
    plan, as_json = _read_options()
    say(f"seed {plan.seed}; again: {plan.command}")
    load_average = machine.load_average()
    try:
        sights = asyncio.run(_run(plan))
    except (UserError, AssertionError) as error:
        say(f"seed {plan.seed}: {error}")
        return int(ExitStatus.UNUSABLE)
    except KeyboardInterrupt:
        say(f"seed {plan.seed}: stopped before the end, so nothing was shown")
        return int(ExitStatus.UNUSABLE)
    facts = machine.facts(embedded_broker="EVERYCENT_BROKER" not in environ)
    document = {
        "command": plan.command,
        "plan": plan.to_json(),
        "machine": {**facts, "load_average_before": load_average},
        **sights.to_json(),
    }
    print(json.dumps(document, indent=2, ensure_ascii=False) if as_json else _text(sights, document))
    missed = [each.name for each in sights.criteria() if not each.is_met]
    if missed:
        say(f"seed {plan.seed}: missed: {'; '.join(missed)}")
    return 1 if missed else 0


def _read_options() -> tuple[SoakPlan, bool]:
    parser = argparse.ArgumentParser(
        prog="python -m tests.soak", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=20, help="how long orders come (default: %(default)s)")
    parser.add_argument("--rate", type=float, default=5_000, help="orders a second (default: %(default)s)")
    parser.add_argument("--restart-every", type=float, default=60, metavar="SECONDS", help="(default: %(default)s)")
    parser.add_argument(
        "--workers", type=int, default=2, help="the first one is never restarted (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, help="which orders (default: by chance)")
    parser.add_argument("--json", action="store_true", help="what was found as one JSON document")
    options = parser.parse_args()
    seed = random.SystemRandom().randrange(10**6) if options.seed is None else options.seed
    try:
        plan = SoakPlan(options.minutes * 60, options.rate, options.restart_every, options.workers, seed)
    except ValueError as error:
        parser.error(str(error))
    return plan, options.json


async def _run(plan: SoakPlan) -> Sights:
    with broker_for_run("soak-broker") as address:
        unique = uuid.uuid4().hex[:12]
        names = {"broker": address, "topic_prefix": f"soak{unique}-", "app_id": f"soak-{unique}"}
        settings = soak_settings(load_settings().model_copy(update=names))
        await create_topics(settings)
        started = time.monotonic()
        with running_workers(settings) as workers:
            sights = await run_soak(settings, plan, workers, say)
        say(f"took {time.monotonic() - started:.0f} s")
        return sights


def _text(sights: Sights, document: dict[str, Any]) -> str:
    """For people: the verdict, and the figures behind it a line each."""
    lines = [f"{'met   ' if each.is_met else 'MISSED'}  {each.name}: {each.found}" for each in sights.criteria()]
    for name in ("load", "latency_s", "restarts", "steady_worker_mb", "restarted_workers_mb", "warnings"):
        found = document[name]
        lines.append(f"{name}:")
        lines += [f"  {key}: {json.dumps(value)}" for key, value in found.items()]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
