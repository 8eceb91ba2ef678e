"""The long run, for a moment."""

import random

from tests.native.fuzz import ROUND_RECORDS, fuzz


def test_a_round_of_everything_gives_the_same_bytes():
    seed = random.SystemRandom().randrange(10**6)
    print(f"seed {seed}")
    fuzz(seed, ROUND_RECORDS)
