"""`python -m tests.hostile`: hostile records against the pure rules, in Python and in Rust, then through a worker."""

import argparse
import asyncio
import json
import random
import sys
import time
import traceback
import uuid

from streams.engine.topic_admin import create_topics
from streams.native import extension
from streams.settings import Settings
from tests.hostile.compare import compare, shown, wanted
from tests.hostile.records import record_at
from tests.hostile.run import run_hostile
from tests.kafka.own_broker import broker_for_run
from tests.kafka.workers import running_workers
from tests.native.fuzz import fuzz


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.hostile", description=__doc__)
    parser.add_argument("--records", type=int, default=20_000, help="how many bad ones (default: %(default)s)")
    parser.add_argument("--seed", type=int, help="which ones (default: by chance)")
    parser.add_argument("--only", type=int, metavar="NUMBER", help="show this record of the seed and judge it")
    parser.add_argument("--pure", action="store_true", help="no broker: the rules alone, in Python and in Rust")
    options = parser.parse_args()
    seed = random.SystemRandom().randrange(10**6) if options.seed is None else options.seed
    if options.only is not None:
        return _show(seed, options.only)
    print(f"seed {seed}; again: python -m tests.hostile --records {options.records} --seed {seed}", flush=True)
    if not _compare_all(seed, options.records):
        return 1
    if extension is None:
        print("the Rust extension isn't built here, so it isn't compared", flush=True)
    elif not _compare_native(seed, options.records):
        return 1
    return 0 if options.pure else asyncio.run(_run(seed, options.records))


def _show(seed: int, number: int) -> int:
    key, value = record_at(seed, number)
    difference = compare(seed, number)
    print(difference or f"expected and found {wanted((key, value))}\n     key {key!r}\n   value {shown(value)}")
    return 1 if difference else 0


def _compare_all(seed: int, bad_wanted: int) -> bool:
    started = time.monotonic()
    bad = number = 0
    while bad < bad_wanted:
        if difference := compare(seed, number):
            print(f"record {number} of seed {seed}:\n{difference}", flush=True)
            return False
        bad += isinstance(wanted(record_at(seed, number)), str)
        number += 1
    print(f"pure rules: {number:,} records, {bad:,} bad, no difference, {time.monotonic() - started:.0f} s", flush=True)
    return True


def _compare_native(seed: int, records: int) -> bool:
    try:
        fuzz(seed, records, lambda text: print(text, flush=True))
    except AssertionError:
        traceback.print_exc()
        return False
    return True


async def _run(seed: int, bad: int) -> int:
    started = time.monotonic()
    with broker_for_run("fuzz") as address:
        unique = uuid.uuid4().hex[:12]
        settings = Settings(broker=address, topic_prefix=f"fuzz{unique}-", app_id=f"fuzz-{unique}", partitions=4)
        settings = settings.model_copy(update={"metrics_port": 0})
        await create_topics(settings)
        with running_workers(settings) as workers:
            try:
                figures = await run_hostile(settings, seed, bad, workers, lambda text: print(text, flush=True))
            except AssertionError as error:
                print(f"seed {seed}: {error}", flush=True)
                return 1
    print(json.dumps({"seed": seed, "seconds": round(time.monotonic() - started), **figures.to_json()}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
