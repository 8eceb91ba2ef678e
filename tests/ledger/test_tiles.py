"""The layout of C2SP tlog-tiles, and a tree that grows tile by tile."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.ledger.tiles import (
    Bundle,
    Tile,
    TiledNodes,
    TileError,
    TileTree,
    edge_tiles,
    number_path,
    pack_entries,
    tiles_at,
    unpack_entries,
)
from streams.ledger.tree import leaf_hash, tree_root
from tests.ledger.parts import root_by_definition


def test_the_specifications_own_examples():
    assert number_path(1234067) == "x001/x234/067"
    assert Tile(0, 0).path == "tile/0/000"
    assert Tile(1, 1000, 5).path == "tile/1/x001/000.p/5"
    assert Bundle(273, 112).path == "tile/entries/273.p/112"
    # "A tree of size 70,000 will be represented by 273 full level 0 tiles, one partial level 0 tile of width 112, one
    # full level 1 tile, one partial level 1 tile of width 17, and one partial level 2 tile of width 1."
    assert [tiles_at(level, 70_000) for level in range(4)] == [(273, 112), (1, 17), (0, 1), (0, 0)]
    assert list(edge_tiles(70_000)) == [Tile(0, 273, 112), Tile(1, 1, 17), Tile(2, 0, 1)]
    # "A tree of size 256 will be represented by a full level 0 tile and a partial level 1 tile of width 1."
    assert tiles_at(0, 256) == (1, 0)
    assert list(edge_tiles(256)) == [Tile(1, 0, 1)]


def hashes(leaves):
    return b"".join(leaf_hash(leaf) for leaf in leaves)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 700), min_size=1, max_size=6), st.data())
def test_a_tree_that_grows_in_any_steps_and_restarts_has_the_root_by_definition(steps, data):
    leaves = [b"%d" % number for number in range(sum(steps))]
    tree, stored, size = TileTree(), {}, 0
    for step in steps:
        stored |= dict(tree.append(hashes(leaves[size : size + step])))
        stored |= dict(tree.edge())
        size += step
        assert tree.root() == root_by_definition(leaves[:size])
        if data.draw(st.booleans()):
            tree = TileTree.restore(size, stored.__getitem__)
    nodes = TiledNodes(stored.__getitem__, size)
    earlier = data.draw(st.integers(0, size))
    assert tree_root(nodes, earlier) == root_by_definition(leaves[:earlier])


def test_how_a_tree_was_cut_into_steps_leaves_no_trace():
    leaves = [b"%d" % number for number in range(70_000)]
    whole, pieces = TileTree(), TileTree()
    full = whole.append(hashes(leaves))
    cut = [tile for at in range(0, 70_000, 999) for tile in pieces.append(hashes(leaves[at : at + 999]))]
    assert sorted(full) == sorted(cut)
    assert whole.edge() == pieces.edge()
    assert {tile.level for tile, _ in full} == {0, 1}


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=256))
def test_entries_come_out_of_a_bundle_as_they_went_in(entries):
    data = pack_entries(entries)
    assert unpack_entries(Bundle(0, len(entries)), data) == entries
    for cut in (1, len(data) // 2, len(data)):
        with pytest.raises(TileError, match="cut short"):
            unpack_entries(Bundle(0, len(entries)), data[:-cut])


@pytest.mark.parametrize("data", [b"", b"x" * 31, b"x" * 33, b"x" * (32 * 257)])
def test_a_tile_of_a_wrong_length_is_refused(data):
    with pytest.raises(TileError):
        TileTree.restore(5, lambda _: data)
