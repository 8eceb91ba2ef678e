"""The index from donations to their leaves: what it finds, and that older ones are still read."""

from rocksdict import BlockBasedOptions, Options, Rdict

from streams.ledger_service.index import open_index
from tests.bench.ledger_index import PARTITION, Leaves

IDS = 20_224  # more than are written at once


def test_an_index_finds_each_of_its_ids_and_no_other(tmp_path):
    leaves = Leaves(IDS)
    with open_index(tmp_path, write=True) as index:
        assert index.advance(PARTITION, leaves, IDS) == IDS
        assert index.advance(PARTITION, leaves, IDS) == 0
    with open_index(tmp_path) as index:
        assert index.position(PARTITION) == IDS
        for at in range(0, IDS, 7):
            assert index.find(f"{leaves.donation_number(at)}:0") == (PARTITION, at)
        assert index.find(f"{leaves.donation_number(IDS)}:0") is None


def test_an_index_that_was_made_with_whole_filters_is_read_and_goes_on(tmp_path):
    table, options = BlockBasedOptions(), Options(raw_mode=True)
    table.set_bloom_filter(10, block_based=False)
    options.create_if_missing(True)
    options.set_block_based_table_factory(table)
    older = Rdict(str(tmp_path), options)
    for at in range(1_000):
        older[b"%d:0" % at] = at.to_bytes(8, "big")
    older.flush()
    older.close()
    assert list(tmp_path.glob("*.sst"))
    leaves = Leaves(IDS)
    with open_index(tmp_path, write=True) as index:
        index.advance(PARTITION, leaves, IDS)
    with open_index(tmp_path) as index:
        assert [index.find(f"{at}:0") for at in range(1, 1_000)] == [(0, at) for at in range(1, 1_000)]
        assert index.find(f"{leaves.donation_number(9)}:0") == (PARTITION, 9)
