"""A log on disk: the same bytes however it came about, whole after a crash anywhere, never contradictory."""

import shutil

import pytest

from streams.ledger.checkpoint import Checkpoint
from streams.ledger.leaf import decode_leaf
from streams.ledger.notes import SignerKey, sign_note
from streams.ledger.published import checkpoint_of
from streams.ledger.tiles import Bundle, Tile
from streams.ledger.tree import consistency_proof, inclusion_proof, leaf_hash, verify_consistency, verify_inclusion
from streams.ledger_service.files import Disk
from streams.ledger_service.store import Floor, RefusalError
from tests.ledger.parts import (
    ORIGIN,
    SIGNER,
    FaultyDisk,
    PowerCut,
    entries,
    publish,
    root_by_definition,
    writer,
)

STEPS = (5, 250, 1, 256, 700, 3)  # a bundle filled in several steps, exactly, and many at once


def grow(log, steps=STEPS):
    for step in steps:
        log.append(entries(log.size, log.size + step))
        publish(log)


def files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def check_readable(folder) -> int:
    """As a stranger does who has the files and the key alone: every leaf is in the tree that was signed; its size."""
    log = writer(folder).log
    note = log.note()
    assert [key for key, _ in note.signed_by([SIGNER.verifier])] == [SIGNER.verifier]
    checkpoint = checkpoint_of(note)
    found = [entry for _, bundle in log.bundles(0, checkpoint.size) for entry in bundle]
    assert found == entries(0, checkpoint.size)
    assert root_by_definition(found) == checkpoint.root
    nodes = log.nodes(checkpoint.size)
    for index in range(0, checkpoint.size, 37):
        proof = inclusion_proof(nodes, index, checkpoint.size)
        verify_inclusion(leaf_hash(found[index]), index, checkpoint.size, proof, checkpoint.root)
    return checkpoint.size


def test_a_log_is_read_back_leaf_by_leaf_and_each_checkpoint_is_consistent_with_those_before(tmp_path):
    log = writer(tmp_path, Disk())
    assert log.open() is None
    checkpoints = []
    for step in STEPS:
        log.append(entries(log.size, log.size + step))
        checkpoints.append(checkpoint_of(publish(log)))
        assert check_readable(tmp_path) == log.size
    nodes = log.log.nodes(log.size)
    for old in checkpoints:
        proof = consistency_proof(nodes, old.size, log.size)
        verify_consistency(old.size, old.root, log.size, checkpoints[-1].root, proof)
    assert decode_leaf(log.log.entry(300, log.size)).seq == 300


def test_rebuilt_from_the_same_donations_the_log_has_the_same_bytes_and_roots(tmp_path):
    one, other = writer(tmp_path / "one"), writer(tmp_path / "other")
    one.open()
    grow(one)
    other.open()
    grow(other, [sum(STEPS)])
    pieces, whole = files(tmp_path / "one" / "log"), files(tmp_path / "other" / "log")
    assert whole.items() <= pieces.items()
    assert all(".p/" in name for name in pieces.keys() - whole.keys())  # of the smaller trees on the way


def test_partial_tiles_go_when_their_full_ones_are_there_and_readers_of_the_old_checkpoint_find_those(tmp_path):
    log = writer(tmp_path)
    log.open()
    grow(log, [5, 250])
    assert (tmp_path / "log/tile/0/000.p/255").exists()
    assert (tmp_path / "log/tile/entries/000.p/5").exists()
    grow(log, [1])
    assert not (tmp_path / "log/tile/0/000.p").exists()
    assert not (tmp_path / "log/tile/entries/000.p").exists()
    assert len(log.log.tile(Tile(0, 0, 5))) == 5 * 32
    assert log.log.bundle(Bundle(0, 5)) == entries(0, 5)


def test_nothing_new_is_not_published_again_and_a_restart_goes_on(tmp_path):
    log = writer(tmp_path)
    log.open()
    grow(log, [300])
    assert log.prepare() is None
    again = writer(tmp_path)
    assert checkpoint_of(again.open()).size == again.size == 300
    assert again.prepare() is None
    grow(again, [300])
    assert check_readable(tmp_path) == 600


def test_an_empty_log_publishes_the_empty_tree(tmp_path):
    log = writer(tmp_path)
    log.open()
    assert checkpoint_of(publish(log)).size == 0
    assert check_readable(tmp_path) == 0


def run_until_it_fails(folder, disk) -> int:
    """Two publications and one after a restart; the size of the last that was acknowledged."""
    acknowledged = 0
    log = writer(folder, disk)
    log.open()
    for step in (250, 300, 20):
        log.append(entries(log.size, log.size + step))
        acknowledged = checkpoint_of(publish(log)).size
    return acknowledged


def operations_of_a_whole_run(folder) -> int:
    disk = FaultyDisk()
    run_until_it_fails(folder, disk)
    return disk.operations


@pytest.mark.parametrize("kind", ["power cut", "error"])
def test_a_fault_at_any_file_operation_leaves_a_log_that_verifies_and_that_goes_on_to_the_same_bytes(tmp_path, kind):
    count = operations_of_a_whole_run(tmp_path / "whole")
    expected = files(tmp_path / "whole" / "log")
    assert count > 60
    for fail_at in range(count):
        folder = tmp_path / str(fail_at)
        disk = FaultyDisk(fail_at, error=kind == "error", seed=fail_at)
        with pytest.raises((PowerCut, OSError)):
            run_until_it_fails(folder, disk)
        if kind == "power cut":
            disk.lose()
        if (folder / "log" / "checkpoint").exists():
            check_readable(folder)
        log = writer(folder)
        note = log.open()
        signed = log._last_signed.read()
        while log.size < 570:  # from the donations, which are all still there
            log.append(entries(log.size, min(570, log.size + 111)))
            if (publication := log.prepare()) is not None:
                log.write(publication)
        if note is not None:
            old = checkpoint_of(note)
            assert log.root_at(old.size) == old.root
        if signed is not None:
            assert log.root_at(checkpoint_of(signed).size) == checkpoint_of(signed).root
        assert check_readable(folder) == 570
        found = files(folder / "log")
        assert {name: data for name, data in found.items() if ".p/" not in name and ".aside" not in name} == {
            name: data for name, data in expected.items() if ".p/" not in name and ".aside" not in name
        }
        shutil.rmtree(folder)


def test_the_checkpoint_is_renamed_last_and_all_that_it_covers_is_synced_before(tmp_path):
    order = []

    class Told(FaultyDisk):
        def rename(self, source, target):
            super().rename(source, target)
            order.append(("rename", target.name))

        def sync(self, path):
            super().sync(path)
            order.append(("sync", path.name))

    log = writer(tmp_path, Told())
    log.open()
    log.append(entries(0, 300))
    publish(log)
    renames = [name for kind, name in order if kind == "rename"]
    assert renames[-2:] == ["checkpoint", "checkpoint"]  # what was signed last, then the log's own
    at = order.index(("rename", "checkpoint"))
    assert {("sync", "0"), ("sync", "entries")} <= set(order[:at])  # the folders of the tiles and of the bundles
    assert order[-1] == ("sync", "log")


def test_a_log_restored_from_an_old_backup_signs_nothing_until_it_has_grown_to_what_was_signed(tmp_path):
    log = writer(tmp_path)
    log.open()
    grow(log, [100])
    shutil.copytree(tmp_path / "log", tmp_path / "backup")
    grow(log, [200])
    shutil.rmtree(tmp_path / "log")
    shutil.move(tmp_path / "backup", tmp_path / "log")
    back = writer(tmp_path)
    back.open()
    assert back.size == 100
    back.append(entries(100, 250))
    assert back.prepare() is None
    assert back.next_floor.checkpoint.size == 300
    back.append(entries(250, 320))
    publish(back)
    assert check_readable(tmp_path) == 320


def test_a_log_restored_from_an_old_backup_that_takes_another_way_stops_and_says_what_differs(tmp_path):
    log = writer(tmp_path)
    log.open()
    grow(log, [100, 200])
    shutil.rmtree(tmp_path / "log")
    back = writer(tmp_path)
    back.open()
    changed = entries(0, 300)
    changed[150] = changed[151]
    with pytest.raises(RefusalError, match=r"refusing to sign: the keys' folder remembers .* of 300 leaves"):
        back.append([*changed, *entries(300, 400)])


@pytest.mark.parametrize("size", [100, 300, 400])
def test_a_checkpoint_that_another_place_remembers_must_fit_the_tree_now_or_later(tmp_path, size):
    log = writer(tmp_path)
    log.open()
    grow(log, [300])
    theirs = sign_note(Checkpoint(ORIGIN, size, b"\x05" * 32).text(), [SIGNER])
    again = writer(tmp_path)
    floors = [again.floor_of(theirs, "the topic")]
    if size <= 300:
        with pytest.raises(RefusalError, match="the topic remembers"):
            again.open(floors)
        return
    again.open(floors)
    with pytest.raises(RefusalError, match="the topic remembers"):
        again.append(entries(300, 400))


def test_two_memories_that_contradict_each_other_beyond_the_log_stop_it_at_once(tmp_path):
    floors = [Floor(Checkpoint(ORIGIN, 9, root * 32), where) for root, where in ((b"a", "here"), (b"b", "there"))]
    with pytest.raises(RefusalError, match="there remembers"):
        writer(tmp_path).open(floors)


def test_a_swapped_key_is_refused_and_a_rotated_one_is_not(tmp_path):
    log = writer(tmp_path)
    log.open()
    grow(log, [10])
    newer = SignerKey.from_seed(ORIGIN, b"\x08" * 32)
    with pytest.raises(RefusalError, match="the key doesn't belong to this log"):
        writer(tmp_path, signers=[newer]).open()
    both = writer(tmp_path, signers=[SIGNER, newer])
    both.open()
    grow(both, [10])
    alone = writer(tmp_path, signers=[newer])
    alone.open()
    grow(alone, [10])
    assert alone.size == 30


def test_another_logs_key_never_signs_and_another_logs_files_are_refused(tmp_path):
    other = SignerKey.from_seed("everycent.test/donations/1", b"\x07" * 32)
    with pytest.raises(RefusalError, match="needs a key of its own name"):
        writer(tmp_path, signers=[other])
    log = writer(tmp_path, signers=[other], origin=other.verifier.name)
    log.open()
    grow(log, [10])
    with pytest.raises(RefusalError, match=r"everycent.test/donations/1"):
        writer(tmp_path).open()


@pytest.mark.parametrize("path", ["checkpoint", "tile/0/001.p/44", "tile/1/000.p/1", "tile/entries/001.p/44"])
@pytest.mark.parametrize("harm", ["flip", "truncate", "remove"])
def test_a_damaged_edge_is_seen_at_the_start(tmp_path, path, harm):
    log = writer(tmp_path)
    log.open()
    grow(log, [300])
    file = tmp_path / "log" / path
    data = bytearray(file.read_bytes())
    data[-5] ^= 1
    if harm == "remove":
        file.unlink()
    else:
        file.write_bytes(bytes(data) if harm == "flip" else bytes(data[:-40]))
    again = writer(tmp_path)
    if (path, harm) == ("checkpoint", "remove"):
        assert again.open() is None  # it is built anew, and must come to what was signed
        assert again.next_floor.checkpoint.size == 300
        return
    with pytest.raises(RefusalError):
        again.open()
