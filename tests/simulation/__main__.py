"""`python -m tests.simulation`: many runs with new seeds, or one seed again."""

import argparse
import random
import sys
import time
import traceback

from tests.simulation.judge import WrongError
from tests.simulation.run import COMMAND, run_seed


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, help="run this one")
    parser.add_argument("--runs", type=int, default=1_000, help="how many runs with new seeds (default: %(default)s)")
    parser.add_argument("--first", type=int, help="the first seed; the others follow it (default: by chance)")
    parser.add_argument("--keep-going", action="store_true", help="don't stop at the first failure")
    parser.add_argument("-v", "--verbose", action="store_true", help="tell what happens")
    options = parser.parse_args()
    if options.seed is not None:
        return 0 if _holds(options.seed, verbose=options.verbose) else 1
    first = random.SystemRandom().randrange(10**9) if options.first is None else options.first
    print(f"{options.runs} runs, seeds from {first}", flush=True)
    started = told = time.monotonic()
    failed = 0
    for done in range(options.runs):
        if not _holds(first + done, verbose=options.verbose):
            failed += 1
            if not options.keep_going:
                return 1
        if time.monotonic() - told > 5:
            told = time.monotonic()
            print(f"{done + 1} runs, {(done + 1) / (told - started) * 60:.0f} a minute, {failed} failed", flush=True)
    print(f"{options.runs} runs in {time.monotonic() - started:.1f} s, {failed} failed")
    return 1 if failed else 0


def _holds(seed: int, *, verbose: bool) -> bool:
    try:
        run_seed(seed, tell=print if verbose else None)
    except WrongError as error:
        print(f"seed {seed}: {error}\n    {COMMAND.format(seed=seed)}", flush=True)
        if verbose and error.__cause__ is not None:
            traceback.print_exception(error.__cause__)
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
