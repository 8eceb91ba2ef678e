"""The ledger's bench: a sparse log is the log that it stands for, and proofs grow as the logarithm."""

import pytest

from streams.ledger.leaf import encode_leaf, leaf_of
from streams.ledger.published import PublishedLog
from streams.ledger.receipt import make_receipt, verify_receipt
from streams.ledger.tiles import TileTree
from streams.ledger.tree import inclusion_proof, leaf_hash
from tests.bench import ledger_index
from tests.bench.ledger_proofs import OTHER, SALTS, SIGNER, SIZES, SparseLog, donation, growth


@pytest.mark.parametrize(("size", "index"), [(1, 0), (256, 255), (1_000, 333), (1_000, 999), (70_000, 65_600)])
def test_a_sparse_log_has_the_root_and_the_proofs_of_the_log_whose_leaves_are_all_there(size, index):
    entry = encode_leaf(leaf_of(donation(index), SALTS))
    hashes = [leaf_hash(OTHER)] * size
    hashes[index] = leaf_hash(entry)
    tree = TileTree()
    tiles = {tile._replace(width=256): data for tile, data in tree.append(b"".join(hashes)) + tree.edge()}
    log = SparseLog(size, index, entry)
    assert log.root() == tree.root()
    for tile, data in tiles.items():
        assert log.fetch(tile.path).startswith(data)
    published = PublishedLog(log.fetch)
    receipt = make_receipt(published, log.note(), index, SALTS)
    assert verify_receipt(bytes(receipt), [SIGNER.verifier], donation(index).buyer_id).leaf.seq == index
    other = index // 2
    assert inclusion_proof(published.nodes(size), other, size) == inclusion_proof(log._node, other, size)


def test_proofs_grow_by_a_hash_where_the_tree_doubles_up_to_ten_billion_leaves():
    found = growth(SIZES)
    hashes = [each["hashes"] for each in found.values()]
    assert hashes == [(size - 1).bit_length() for size in SIZES]
    assert hashes[-1] == 34


def test_the_index_finds_each_of_its_ids():
    found = ledger_index.measure(10_000)
    assert found["ids"] == 9_984
    assert found["look_up"]["warm"]["median_us"] <= found["look_up"]["cold"]["p99_us"]
