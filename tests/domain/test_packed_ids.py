"""The packed run: what it finds after merges and evictions is what went in."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from streams.domain.packed_ids import PackedIds, ages, pack, same_second

SIZES = (0, 1, 2, 3, 1_000, 65_535, 65_536, 65_537, 200_000)
INT64 = np.iinfo(np.int64)


def hashes(random: np.random.Generator, count: int) -> np.ndarray:
    return random.integers(INT64.min, INT64.max, count, np.int64, endpoint=True)


@pytest.mark.parametrize("held", SIZES)
@pytest.mark.parametrize("added", SIZES)
def test_merging_keeps_every_entry_whole_and_sorted(held, added):
    random = np.random.default_rng([held, added])
    first = hashes(random, held + added)
    run = PackedIds(7)
    for part in (first[:held], first[held:]):
        # Second hash and fingerprint are made from the first one, so that a torn entry shows.
        run.merge(pack(part, part >> 9, np.full(len(part), 7), part ^ 5))
    np.testing.assert_array_equal(run.entries.first, np.sort(first))
    np.testing.assert_array_equal(run.entries.fingerprint, run.entries.first ^ 5)
    assert same_second(run.entries.second, run.entries.first >> 9).all()
    assert (ages(run.entries.second, 7) == 0).all()
    asked, at = run.find(first)
    np.testing.assert_array_equal(asked, np.arange(len(first)))
    np.testing.assert_array_equal(run.entries.first[at], first)


@given(
    st.lists(st.integers(-4, 4), max_size=60),
    st.lists(st.sampled_from([INT64.min, INT64.min + 1, -3, 0, 2, 5, INT64.max - 1, INT64.max]), max_size=60),
    st.lists(st.sampled_from([INT64.min, INT64.max, *range(-6, 7)]), max_size=20),
)
@example([], [], [INT64.min])
def test_every_entry_of_a_hash_is_found_however_many_share_it(narrow, wide, asked_for):
    held = np.array(narrow + wide, np.int64)
    run = PackedIds(0)
    run.merge(pack(held, held, np.zeros_like(held), np.arange(len(held))))
    asked, at = run.find(np.array(asked_for, np.int64))
    found = sorted(zip(asked.tolist(), run.fingerprint_at(at).tolist(), strict=True))
    expected = [(a, h) for a, hash_ in enumerate(asked_for) for h, have in enumerate(held.tolist()) if have == hash_]
    assert found == expected


@pytest.mark.parametrize("count", SIZES)
def test_evicting_drops_the_old_and_keeps_the_young(count):
    random = np.random.default_rng(count)
    first, slices = hashes(random, count), random.integers(1_000, 1_050, count)
    run = PackedIds(1_000)
    run.merge(pack(first, first, slices, slices))
    run.evict(1_050, 24)
    np.testing.assert_array_equal(run.entries.first, np.sort(first[slices >= 1_026]))
    assert run.evicted_slice == 1_050
    asked, at = run.find(first)
    np.testing.assert_array_equal(asked, np.flatnonzero(slices >= 1_026))
    np.testing.assert_array_equal(run.fingerprint_at(at), slices[slices >= 1_026])


@given(st.integers(0, 10**9), st.integers(0, 255), st.integers(INT64.min, INT64.max))
def test_the_age_is_told_up_to_255_slices_whatever_the_second_hash(slice_, age, second):
    entries = pack(np.array([1]), np.array([second]), np.array([slice_]), np.array([0]))
    assert ages(entries.second, slice_ + age).tolist() == [age]
    assert same_second(entries.second, np.array([second])).tolist() == [True]
    assert same_second(entries.second, np.array([second ^ 1])).tolist() == [False]
