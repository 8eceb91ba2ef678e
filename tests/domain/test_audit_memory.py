"""The audit's memory of ids answers as a plain dictionary would, in bounded memory."""

from hypothesis import given
from hypothesis import strategies as st

from streams.domain.audit_memory import GivenOrders


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 2**64 - 1), st.integers(0, 2)), max_size=200))
def test_it_answers_as_a_dictionary_would_however_often_it_sorts(puts):
    """With room for three recent ids it sorts all the time; ids that were forgotten are put again."""
    memory = GivenOrders(slices=4, recent_max=3)
    plain: dict[str, tuple[int, int]] = {}
    slice_ = newest = 0
    for number, given_, later in puts:
        slice_ += later
        order_id = f"o{number}"
        known = plain.get(order_id)
        expected = known[0] if known is not None and newest - known[1] <= 4 else None
        assert memory.get(order_id) == expected
        if expected is None:
            memory.put(order_id, given_, slice_)
            plain[order_id] = (given_, slice_)
            newest = slice_
    for order_id, (given_, put_at) in plain.items():
        assert memory.get(order_id) == (given_ if newest - put_at <= 4 else None)


def test_an_id_takes_twenty_eight_bytes_and_old_ones_are_let_go():
    memory = GivenOrders(slices=24, recent_max=10_000)
    for number in range(100_000):
        memory.put(f"{number:019d}", number, 1)
    columns = (memory._first, memory._second, memory._given, memory._slice)
    assert (len(memory), sum(column.nbytes for column in columns)) == (100_000, 2_800_000)
    assert memory.get(f"{99_999:019d}") == 99_999
    assert memory.get(f"{100_000:019d}") is None
    for number in range(10_000):
        memory.put(f"later-{number}", number, 26)
    assert len(memory) == 10_000
    assert memory.get(f"{99_999:019d}") is None
