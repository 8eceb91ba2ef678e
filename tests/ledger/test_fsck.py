"""fsck finds every attack on a ledger's files, says the first difference, and goes on where it was interrupted."""

import asyncio
import json
import os
import shutil
import struct

import pytest
from typer.testing import CliRunner

import streams.ledger_service.fsck as service
from streams.cli import app
from streams.errors import UserError
from streams.ledger.leaf import decode_leaf, encode_leaf
from streams.ledger.notes import SignerKey, sign_note
from streams.ledger.published import checkpoint_of
from streams.ledger.tiles import CHECKPOINT, Bundle, Tile, pack_entries, unpack_entries
from streams.ledger_service.fsck import Sources, check_log
from streams.ledger_service.keys import LastSigned
from streams.ledger_service.store import LogWriter
from tests.ledger.parts import ORIGIN, SIGNER, FaultyDisk, entries, publish

SIZE = 900  # three full bundles and a partial one
LARGE = 66_000  # two levels of full tiles and a partial third


def make(folder, leaves, *, steps: int = 3) -> LogWriter:
    """A log as partition 0 of the ledger in `folder`."""
    disk = FaultyDisk()
    log = LogWriter(folder / "donations" / "0", ORIGIN, [SIGNER], LastSigned(folder / "keys", ORIGIN, disk), disk)
    log.open()
    step = len(leaves) // steps + 1
    for start in range(0, len(leaves), step):
        log.append(leaves[start : start + step])
        publish(log)
    return log


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    make(folder, entries(0, SIZE))
    return folder


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    folder = tmp_path_factory.mktemp("large")
    make(folder, entries(0, LARGE), steps=1)
    return folder


@pytest.fixture
def ledger(whole, tmp_path):
    """A copy, to be harmed."""
    shutil.copytree(whole / "donations", tmp_path / "donations")
    return tmp_path


def check(folder, **more):
    return asyncio.run(check_log(Sources(folder, [SIGNER.verifier], **more), 0))


def test_a_whole_log_is_right(whole, large):
    report = check(whole)
    assert (report.leaves, report.difference, report.waiting) == (SIZE, "", None)
    report = check(large)
    assert (report.leaves, report.difference, report.waiting) == (LARGE, "", None)


FIRST = 300  # in bundle 1, offset 44


def rewrite(ledger, change) -> None:
    """Change the entries of bundle 1, as somebody may who has the files."""
    path = ledger / "donations/0" / Bundle(1).path
    found = unpack_entries(Bundle(1), path.read_bytes())
    change(found)
    path.write_bytes(pack_entries(found))


def richer(entry: bytes) -> bytes:
    leaf = decode_leaf(entry)
    return encode_leaf(type(leaf)(**{**{n: getattr(leaf, n) for n in leaf.__struct_fields__}, "fen": leaf.fen + 1}))


ATTACKS = {
    "a leaf changed": lambda found: found.__setitem__(44, richer(found[44])),
    "a leaf removed": lambda found: found.pop(44),
    "a leaf removed, the bundle filled up": lambda found: (found.pop(44), found.append(found[-1])),
    "a leaf inserted": lambda found: found.insert(44, found[43]),
    "two leaves in another order": lambda found: found.__setitem__(slice(44, 46), found[45:43:-1]),
    "a leaf in another form": lambda found: found.__setitem__(44, found[44].replace(b":", b": ", 1)),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_on_the_entries_is_found_at_its_place(ledger, attack):
    rewrite(ledger, ATTACKS[attack])
    report = check(ledger)
    assert report.difference
    assert report.leaves == 256
    if attack == "a leaf changed":  # well formed: the tile tells
        assert report.difference.startswith("tile/0/001: hash 44 is ")
    elif attack == "a leaf in another form":
        assert report.difference == "leaf 300: the entry is not written in the canonical form"


@pytest.mark.parametrize("harm", ["flip", "truncate", "remove", "append"])
@pytest.mark.parametrize("size", ["small", "large"])
def test_harm_to_any_file_is_found(ledger, large, harm, size):
    folder = ledger if size == "small" else large
    paths = [
        *(
            "checkpoint",
            "tile/0/000",
            "tile/0/003.p/132",
            "tile/1/000.p/3",
            "tile/entries/001",
            "tile/entries/003.p/132",
        ),
    ]
    if size == "large":
        paths = ["tile/1/000", "tile/2/000.p/1"]
    for name in paths:
        path = folder / "donations/0" / name
        kept = path.read_bytes()
        data = bytearray(kept)
        if harm == "flip":
            data[len(data) // 2] ^= 4
        elif harm == "truncate":
            del data[-7:]
        elif harm == "append":
            data += b"x" * 32
        path.unlink() if harm == "remove" else path.write_bytes(data)
        report = check(folder)
        path.write_bytes(kept)
        if harm == "append" and name.startswith("tile/") and ".p/" not in name and "entries" in name:
            continue  # behind the 256 entries nobody reads
        assert report.difference, name


def test_partial_tiles_of_smaller_trees_that_still_lie_there_are_checked_too(ledger):
    make_small = ledger / "small"
    make(make_small, entries(0, 200), steps=4)
    path = make_small / "donations/0/tile/0/000.p/51"
    said = "tile/0/000.p/51 is not the beginning of what is there now"
    path.write_bytes(path.read_bytes()[::-1])
    assert check(make_small).difference == said
    os.truncate(path, 1 << 40)  # more than any machine's memory
    assert check(make_small).difference == said


def test_a_checkpoint_that_was_rolled_back_is_found_by_whoever_remembers_a_later_one(ledger, whole):
    later = make(ledger / "later", entries(0, 300), steps=1).log.note()
    rolled = ledger / "rolled"
    make(rolled, entries(0, 200), steps=1)
    assert not check(rolled).difference
    assert "300 leaves was signed, but the log has 200" in check(rolled, signed=[later]).difference


def test_a_ledger_that_its_operator_wrote_anew_is_found_by_any_checkpoint_of_before(tmp_path):
    """Whoever has the keys can make a log that is right in itself. Not one that fits what was signed."""
    before = make(tmp_path / "before", entries(0, 200), steps=1).log.note()
    changed = entries(0, 300)
    changed[100] = richer(changed[100])
    make(tmp_path / "anew", changed, steps=1)
    assert not check(tmp_path / "anew").difference
    report = check(tmp_path / "anew", signed=[before])
    assert "of 200 leaves" in report.difference
    assert "was signed, but the log has the root" in report.difference


def test_a_checkpoint_of_nobody_known_is_refused(ledger):
    path = ledger / "donations/0/checkpoint"
    note = sign_note(service.Note.parse(path.read_bytes()).text, [SignerKey.from_seed(ORIGIN, b"\x09" * 32)])
    path.write_bytes(bytes(note))
    assert "signed by none of the keys" in check(ledger).difference


def test_a_bundle_whose_lengths_lie_is_told_as_cut_short(ledger):
    path = ledger / "donations/0" / Bundle(0).path
    data = bytearray(path.read_bytes())
    data[:2] = struct.pack(">H", 65_535)
    path.write_bytes(data)
    assert "tile/entries/000 is cut short" in check(ledger).difference or "not a donation" in check(ledger).difference


@pytest.mark.parametrize("path", [CHECKPOINT, Tile(0, 0).path, Bundle(0).path], ids=["checkpoint", "tile", "bundle"])
def test_a_file_that_is_longer_than_it_can_be_is_told_and_does_not_fill_the_memory(ledger, path):
    os.truncate(ledger / "donations/0" / path, 1 << 40)  # nothing on the disk, and more than any machine's memory
    (ledger / "keys.txt").write_text(f"{SIGNER.verifier}\n")
    done = CliRunner().invoke(app, ["ledger", "fsck", "--files-only"], env={"EVERYCENT_LEDGER_DIR": str(ledger)})
    if path == Bundle(0).path:  # what stands behind its entries is nobody's
        assert done.stdout == "log 0: 900 leaves are right\n"
    else:
        assert isinstance(done.exception, SystemExit | UserError), done.exception
        said = f"{done.stdout}{done.exception}"
        assert path in said or "a note of" in said


def test_a_check_that_was_interrupted_goes_on_and_a_later_one_checks_only_what_is_new(large, monkeypatch, tmp_path):
    monkeypatch.setattr(service, "REMEMBER_LEAVES", 8_192)
    state = tmp_path / "state.json"
    bundle = large / "donations/0" / Bundle(100).path
    kept = bundle.read_bytes()
    bundle.unlink()
    first = check(large, state=state)
    assert first.leaves == 25_600
    bundle.write_bytes(kept)
    second = check(large, state=state)
    assert second.resumed_at == 24_576
    assert (second.leaves, second.difference) == (LARGE, "")
    other = large / "donations/0" / Bundle(0).path
    kept = other.read_bytes()
    other.unlink()  # checked before: not looked at again
    third = check(large, state=state)
    other.write_bytes(kept)
    assert third.resumed_at == LARGE // 256 * 256
    assert not third.difference


def test_a_log_that_has_shrunk_since_it_was_checked_and_a_damaged_state_are_told(ledger, tmp_path):
    state = tmp_path / "state.json"
    check(ledger, state=state)
    small = tmp_path / "small"
    make(small, entries(0, 300), steps=1)
    assert "300 leaves, but 768 were there" in check(small, state=state).difference
    standings = json.loads(state.read_text())
    standings[ORIGIN]["size"] -= 256
    state.write_text(json.dumps(standings))
    with pytest.raises(UserError, match="standing is damaged"):
        check(ledger, state=state)
    state.write_text("{")
    with pytest.raises(UserError, match="is damaged"):
        check(ledger, state=state)


def test_the_command_needs_the_folder_alone_and_says_what_it_found(ledger):
    (ledger / "keys.txt").write_text(f"{SIGNER.verifier}\n")
    environment = {"EVERYCENT_LEDGER_DIR": str(ledger)}

    def run(*words):
        return CliRunner().invoke(app, ["ledger", "fsck", "--files-only", *words], env=environment)

    done = run()
    assert (done.exit_code, done.stdout) == (0, "log 0: 900 leaves are right\n")
    assert json.loads(run("--json", "--key", str(SIGNER.verifier)).stdout)["difference"] == ""
    rewrite(ledger, ATTACKS["a leaf changed"])
    done = run()
    assert done.exit_code == 1
    assert done.stdout.startswith("log 0: DIFFERS, behind 256 right leaves: tile/0/001: hash 44 is ")
    assert checkpoint_of(service.Note.parse((ledger / "donations/0/checkpoint").read_bytes())).size == SIZE
