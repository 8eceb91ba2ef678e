"""The index from donations to their leaves: what it finds, and that older ones are still read."""

import os
import subprocess
import sys

from rocksdict import BlockBasedOptions, Options, Rdict

from streams.ledger_service.index import open_index
from tests.bench.ledger_index import PARTITION, Leaves
from tests.needs import need

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


LOOK_UP = """
import os, sys
from pathlib import Path
from streams.ledger_service.index import open_index
folder = Path(sys.argv[1])
assert not os.access(folder, os.W_OK)
with open_index(folder) as index:
    print(index.find(sys.argv[2]))
"""


def test_whoever_may_only_read_the_index_finds_what_is_in_it_and_leaves_nothing_behind(tmp_path):
    folder, own = tmp_path / "index", tmp_path / "own"
    own.mkdir()
    leaves = Leaves(1_024)
    with open_index(folder, write=True) as index:
        index.advance(PARTITION, leaves, 1_024)
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    for path in folder.iterdir():
        path.chmod(0o444)
    folder.chmod(0o555)
    # Root may write everywhere; so that it may not, it gives up the right to.
    drop = [need("setpriv", why="gives up root's rights (util-linux)"), "--bounding-set=-dac_override,-fowner"]
    command = [*(drop if os.geteuid() == 0 else []), sys.executable, "-c", LOOK_UP, str(folder)]
    command.append(f"{leaves.donation_number(700)}:0")
    environment = {**os.environ, "TMPDIR": str(own)}
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, env=environment)
    finally:
        folder.chmod(0o755)
    assert (found.stdout, found.stderr) == (f"({PARTITION}, 700)\n", "")
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    assert not list(own.iterdir())
