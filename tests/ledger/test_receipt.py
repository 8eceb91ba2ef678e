"""A receipt holds what it promises, and whatever is changed in it fails the promise that it says."""

import base64
import json
import shutil
from itertools import cycle

import pytest
from typer.testing import CliRunner

from streams.cli import app
from streams.errors import UserError
from streams.ledger.checkpoint import Checkpoint
from streams.ledger.leaf import decode_leaf, donor_of, encode_leaf, entries_of
from streams.ledger.notes import Note, SignerKey, sign_note
from streams.ledger.receipt import HEADER, Promise, Receipt, ReceiptError, make_receipt, verify_receipt
from streams.ledger.tree import EMPTY_ROOT
from streams.ledger_service.keys import LastSigned, load_keys, log_origin, make_keys
from streams.ledger_service.store import LogWriter
from tests.ledger.parts import (
    ORIGIN,
    SALTS,
    SIGNER,
    FaultyDisk,
    donation,
    entries,
    publish,
    published_log,
    records,
    writer,
)

SIZE = 700


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    return published_log(tmp_path_factory.mktemp("log"), SIZE)


@pytest.fixture(scope="module")
def receipt(log):
    return make_receipt(log.log, log.log.note(), 300, SALTS)


def check(data: bytes, buyer: str | None = None, keys=(SIGNER.verifier,)):
    return verify_receipt(data, keys, buyer)


def failed(data: bytes, buyer: str | None = "b9", keys=(SIGNER.verifier,)) -> Promise:
    with pytest.raises(ReceiptError) as error:
        check(data, buyer, keys)
    assert str(error.value)
    return error.value.promise


def test_every_leafs_receipt_verifies_from_the_file_alone(log):
    for index in range(SIZE):
        data = bytes(make_receipt(log.log, log.log.note(), index, SALTS))
        verified = check(data, donation(index).buyer_id)
        assert verified.donor_checked
        assert verified.leaf.donation_id == donation(index).donation_id
        assert verified.checkpoint.size == SIZE


def test_the_file_is_what_the_specification_says(receipt):
    lines = bytes(receipt).decode().split("\n")
    assert lines[0] == "c2sp.org/tlog-proof@v1"
    extra = json.loads(base64.b64decode(lines[1].removeprefix("extra ")))
    assert extra == {"entry": receipt.entry.decode(), "salt": SALTS.of(donation(300).donation_id).hex()}
    assert lines[2] == "index 300"
    blank = lines.index("")
    assert [base64.b64decode(line) for line in lines[3:blank]] == list(receipt.proof)
    assert "\n".join(lines[blank + 1 :]).encode() == bytes(receipt.note)
    assert Receipt.parse(bytes(receipt)) == receipt


def test_every_byte_changed_in_any_of_two_ways_is_caught(receipt):
    """By the receipt's own donor, whose id is b9; a salt that was changed shows only to them."""
    data, seen = bytes(receipt), set()
    for at, by in zip(range(len(data)), cycle([1, 2, 4, 8, 16, 32, 64, 128]), strict=False):
        for flip in (by, 0x15):
            tampered = bytearray(data)
            tampered[at] ^= flip
            seen.add(failed(bytes(tampered)))
    assert seen == {Promise.FORM, Promise.SIGNATURE, Promise.INCLUSION, Promise.DONOR}


def test_every_byte_taken_out_or_doubled_and_any_end_cut_off_is_caught(receipt):
    data = bytes(receipt)
    for at in range(len(data)):
        failed(data[:at] + data[at + 1 :])
        failed(data[:at])
    for at in range(0, len(data), 3):
        failed(data[: at + 1] + data[at:])


def changed(receipt: Receipt, **fields) -> bytes:
    values = {name: getattr(receipt, name) for name in ("index", "proof", "note", "entry", "salt")}
    return bytes(Receipt(**{**values, **fields}))


def test_what_was_changed_is_named(receipt, log):
    leaf = decode_leaf(receipt.entry)
    richer = encode_leaf(type(leaf)(**{**{n: getattr(leaf, n) for n in leaf.__struct_fields__}, "fen": 999}))
    assert failed(changed(receipt, entry=richer)) is Promise.INCLUSION
    assert failed(changed(receipt, index=301)) is Promise.INCLUSION
    assert failed(changed(receipt, proof=receipt.proof[:-1])) is Promise.INCLUSION
    assert failed(changed(receipt, proof=(*receipt.proof, EMPTY_ROOT))) is Promise.INCLUSION
    assert failed(changed(receipt, proof=receipt.proof[::-1])) is Promise.INCLUSION
    assert failed(changed(receipt, salt=bytes(32))) is Promise.DONOR
    larger = Checkpoint(ORIGIN, SIZE + 1, log.root_at(SIZE))
    assert failed(changed(receipt, note=Note(larger.text(), receipt.note.signatures))) is Promise.SIGNATURE
    other = Checkpoint(ORIGIN, SIZE, EMPTY_ROOT)
    assert failed(changed(receipt, note=sign_note(other.text(), [SIGNER]))) is Promise.INCLUSION


def test_another_buyers_id_does_not_open_it_and_without_one_nothing_is_said_of_the_donor(receipt):
    assert failed(bytes(receipt), "b10") is Promise.DONOR
    assert not check(bytes(receipt)).donor_checked


def test_a_stranger_who_knows_all_buyers_ids_and_the_ledger_but_no_salt_can_link_nothing(log):
    donors = {decode_leaf(entry).donor for _, bundle in log.log.bundles(0, SIZE) for entry in bundle}
    guesses = {donor_of(salt, f"b{buyer}") for buyer in range(97) for salt in (b"", bytes(32))}
    assert not donors & guesses
    assert len(donors) == SIZE


def test_a_swapped_key_another_logs_key_and_another_logs_receipt_are_refused(receipt, tmp_path):
    namesake = SignerKey.from_seed(ORIGIN, b"\x01" * 32)
    other_name = SignerKey.from_seed("everycent.test/donations/1", b"\x07" * 32)
    for key in (namesake, other_name):
        assert failed(bytes(receipt), keys=[key.verifier]) is Promise.SIGNATURE
    # The other log's key signs a checkpoint that says it is this log's.
    forged = changed(receipt, note=sign_note(receipt.note.text, [other_name]))
    assert failed(forged, keys=[SIGNER.verifier, other_name.verifier]) is Promise.SIGNATURE


def test_a_leaf_that_says_another_number_of_itself_is_refused_even_in_a_signed_tree(tmp_path):
    """The log's operator put a donation in twice: each receipt of the copy says so."""
    log = writer(tmp_path)
    log.open()
    log.append([*entries(0, 5), entries(0, 5)[4]])
    note = publish(log)
    copy = make_receipt(log.log, note, 5, SALTS)
    assert failed(bytes(copy), None) is Promise.ENTRY


def test_an_entry_that_is_no_donation_is_refused_even_in_a_signed_tree(tmp_path, receipt):
    log = writer(tmp_path)
    log.open()
    log.append([b"hello"])
    forged = changed(receipt, note=publish(log), entry=b"hello", index=0, proof=())
    assert failed(forged) is Promise.ENTRY


@pytest.mark.parametrize(
    "data", [b"", b"\x00" * 100, b"a\n\nb", f"{HEADER}\n\n".encode(), f"{HEADER}\nindex 0\n\n".encode(), b"x" * 70_000]
)
def test_what_is_no_receipt_at_all_is_told_so(data):
    assert failed(data) is Promise.FORM


def test_a_receipt_of_before_a_rotation_still_verifies_with_the_old_key_and_one_in_between_with_either(tmp_path):
    newer = SignerKey.from_seed(ORIGIN, b"\x08" * 32)
    receipts = []
    for signers in ([SIGNER], [SIGNER, newer], [newer]):
        log = writer(tmp_path, signers=signers)
        log.open()
        log.append(entries(log.size, log.size + 3))
        receipts.append(bytes(make_receipt(log.log, publish(log), 1, SALTS)))
    for data, old, new in zip(receipts, (True, True, False), (False, True, True), strict=True):
        for key, fits in ((SIGNER, old), (newer, new)):
            if fits:
                check(data, keys=[key.verifier])
            else:
                assert failed(data, keys=[key.verifier]) is Promise.SIGNATURE


# The commands, on a ledger of two logs.


@pytest.fixture
def environment(tmp_path):
    values = {"KEYS": "keys", "DIR": "ledger", "INDEX": "index"}
    environment = {f"EVERYCENT_LEDGER_{name}": str(tmp_path / folder) for name, folder in values.items()}
    origins = [log_origin("ledger.test", number) for number in range(2)]
    keys = make_keys(tmp_path / "keys", origins)
    (tmp_path / "keys.txt").write_text("".join(f"{key}\n" for key in keys))
    extend(tmp_path, 600)
    return environment


def extend(tmp_path, count: int, era: bytes = b"14") -> None:
    """Donations 0, 2, 4, … go to the first log and the others to the second: their ids differ, their seqs don't."""
    ring = load_keys(tmp_path / "keys")
    for partition in range(2):
        origin = log_origin("ledger.test", partition)
        folder = tmp_path / "ledger" / "donations" / str(partition)
        log = LogWriter(
            folder, origin, ring.of(origin), LastSigned(tmp_path / "keys", origin, FaultyDisk()), FaultyDisk()
        )
        log.open()
        new = records(log.size, log.size + count)
        for record in new:
            record.value = record.value.replace(b':0"', b':%d"' % partition).replace(b'"1400', b'"%b00' % era)
        log.append(entries_of(new, log.size, ring.salts))
        publish(log)


def run(environment, *words):
    return CliRunner().invoke(app, ["ledger", *map(str, words)], env=environment)


@pytest.mark.parametrize("indexed", [False, True])
def test_a_receipt_is_made_and_verified_by_commands_with_and_without_an_index(environment, tmp_path, indexed):
    if indexed:
        assert run(environment, "index").output == "1,200 donations taken in, 1,200 in the index.\n"
        assert run(environment, "index").output == "0 donations taken in, 1,200 in the index.\n"
    extend(tmp_path, 50)  # of these the index knows nothing yet
    for donation_id, buyer in (("1400000000000000300:1", "b9"), ("1400000000000000649:0", "b67")):
        file = tmp_path / "mine.tlog-proof"
        made = run(environment, "receipt", donation_id, "--output", file)
        assert made.exit_code == 0, made.exception
        assert run(environment, "receipt", donation_id).stdout_bytes == file.read_bytes()
        done = run({}, "verify", file, "--key", tmp_path / "keys.txt", "--buyer", buyer)
        assert done.exit_code == 0, done.output
        assert donation_id in done.output
        assert "0.0" in done.output  # yuan
        assert done.output.endswith("\nVALID: every promise that was checked holds.\n")
        wrong = run({}, "verify", file, "--key", tmp_path / "keys.txt", "--buyer", "b1", "--json")
        assert wrong.exit_code == 1
        assert json.loads(wrong.output)["failed"] == "donor"
        as_json = json.loads(run({}, "verify", file, "--key", tmp_path / "keys.txt", "--json").output)
        assert as_json["valid"] is True
        assert as_json["donor_checked"] is False
        assert as_json["donation"]["donation_id"] == donation_id


def test_an_index_can_be_deleted_and_made_again_and_another_ledgers_is_noticed(environment, tmp_path):
    run(environment, "index")
    shutil.rmtree(tmp_path / "index")
    assert run(environment, "receipt", "1400000000000000001:1").exit_code == 0
    run(environment, "index")
    for partition in (0, 1):  # the logs change places, the index knows nothing of it
        (tmp_path / f"ledger/donations/{partition}").rename(tmp_path / f"ledger/donations/1{partition}")
    for partition in (0, 1):
        (tmp_path / f"ledger/donations/1{partition}").rename(tmp_path / f"ledger/donations/{1 - partition}")
    done = run(environment, "receipt", "1400000000000000001:1")
    assert isinstance(done.exception, UserError)
    assert "another ledger's" in str(done.exception)


def test_an_index_of_a_ledger_that_was_made_anew_hides_no_donation(environment, tmp_path):
    """It has come further than the new ledger, so what it doesn't know would be looked for nowhere."""
    run(environment, "index")
    for folder in ("ledger/donations", "keys/last-signed"):
        shutil.rmtree(tmp_path / folder)
    extend(tmp_path, 100, era=b"15")
    for words in (("receipt", "1500000000000000050:1"), ("index",)):
        done = run(environment, *words)
        assert isinstance(done.exception, UserError)
        assert "the index is another ledger's" in str(done.exception)
    shutil.rmtree(tmp_path / "index")
    assert run(environment, "receipt", "1500000000000000050:1").exit_code == 0


def test_an_index_that_is_ahead_of_a_ledger_from_a_backup_goes_on_with_it(environment, tmp_path):
    shutil.copytree(tmp_path / "ledger", tmp_path / "backup")
    extend(tmp_path, 50)
    run(environment, "index")
    shutil.rmtree(tmp_path / "ledger")
    (tmp_path / "backup").rename(tmp_path / "ledger")
    assert run(environment, "index").output == "0 donations taken in, 1,300 in the index.\n"
    assert run(environment, "receipt", "1400000000000000300:1").exit_code == 0
    assert "has no donation" in str(run(environment, "receipt", "1400000000000000630:1").exception)


def test_damage_of_the_ledger_or_the_index_is_one_line(environment, tmp_path):
    bundle = tmp_path / "ledger/donations/1/tile/entries/000"
    whole = bundle.read_bytes()
    bundle.write_bytes(whole.replace(b'{"donated_at"', b'["donated_at"'))
    for words in (("index",), ("receipt", "1400000000000000001:1")):
        done = run(environment, *words)
        assert isinstance(done.exception, UserError), done.exception
        assert "is damaged" in str(done.exception)
    bundle.write_bytes(whole)
    shutil.rmtree(tmp_path / "index")
    run(environment, "index")
    run(environment, "index")  # opened again, what was taken in becomes a table
    (table,) = (tmp_path / "index").glob("*.sst")
    data = bytearray(table.read_bytes())
    data[100 : len(data) // 2] = bytes(len(data) // 2 - 100)
    table.write_bytes(data)
    done = run(environment, "receipt", "1400000000000000001:1")
    assert isinstance(done.exception, UserError), done.exception
    assert "`everycent ledger index` makes it again" in str(done.exception)


def test_what_a_person_can_mend_is_one_line(environment, tmp_path):
    for words, text in (
        (("receipt", "1:1"), "has no donation '1:1'"),
        (("verify", "nothing", "--key", "x"), "can't be read"),
        (("verify", tmp_path / "keys.txt", "--key", "a+b"), "not a verifier key"),
        (("verify", tmp_path / "keys.txt", "--key", "nothing"), "no file of them"),
    ):
        done = run(environment, *words)
        assert isinstance(done.exception, UserError), done.output
        assert text in str(done.exception)
    done = run({}, "verify", tmp_path / "keys.txt", "--key", tmp_path / "keys.txt")
    assert done.exit_code == 1
    assert done.output.startswith("NOT VALID: the promise of its form fails.")
    done = run({**environment, "EVERYCENT_LEDGER_DIR": str(tmp_path / "none")}, "receipt", "1:1")
    assert "there is no ledger" in str(done.exception)
