"""What a witness keeps is whole after a crash anywhere: nobody has seen a cosignature that it doesn't remember."""

import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
import urllib.request
from itertools import pairwise

import pytest
from typer.testing import CliRunner

from streams.cli import app
from streams.errors import UserError
from streams.ledger.evidence import Charge, make_evidence
from streams.ledger.notes import Note, SignerKey, VerifierKey, cosigned_at_s
from streams.ledger.published import checkpoint_of
from streams.ledger.tree import consistency_proof, verify_consistency
from streams.ledger_service.files import locked
from streams.ledger_service.keys import make_keys
from streams.ledger_service.witness_run import watched_logs
from streams.ledger_service.witness_store import (
    WitnessStore,
    load_witness_key,
    log_id,
    make_witness_key,
    published_path,
)
from tests.ledger.parts import ORIGIN, SIGNER, FaultyDisk, PowerCut
from tests.ledger.witness_parts import NOW_S, W1, W2, GrowingLog

SIZES = (5, 300, 700)


@pytest.fixture(scope="module")
def notes(tmp_path_factory):
    """Checkpoints of a log that grows, and of another log."""
    log = GrowingLog(tmp_path_factory.mktemp("log"))
    return [log.grow(size).writer.log.note() for size in SIZES]


def store_in(folder, disk=None) -> WitnessStore:
    store = WitnessStore(folder / "private", folder / "public", W1, disk or FaultyDisk())
    store.open()
    return store


def public_note(folder) -> Note | None:
    path = folder / "public" / published_path(ORIGIN)
    return Note.parse(path.read_bytes()) if path.exists() else None


def run_until_it_fails(folder, disk, notes) -> None:
    store = store_in(folder, disk)
    for number, note in enumerate(notes):
        store.cosign(note, NOW_S + number)
    twin = (notes[0], "here"), (notes[1], "there")
    store.convict(ORIGIN, make_evidence(Charge.REWRITTEN, *twin, (bytes(32),), (str(W1.verifier), NOW_S)))


@pytest.mark.parametrize("kind", ["power cut", "error"])
def test_after_a_fault_at_any_file_operation_nothing_that_was_public_is_forgotten(tmp_path, notes, kind):
    disk = FaultyDisk()
    run_until_it_fails(tmp_path / "whole", disk, notes)
    assert disk.operations > 40
    for fail_at in range(disk.operations):
        folder = tmp_path / str(fail_at)
        failing = FaultyDisk(fail_at, error=kind == "error", seed=fail_at)
        with pytest.raises((PowerCut, OSError)):
            run_until_it_fails(folder, failing, notes)
        seen = public_note(folder)  # by whoever asked at that moment
        if kind == "power cut":
            failing.lose()
        store = store_in(folder)
        mine = store.cosigned(ORIGIN)
        if seen is not None:
            assert mine is not None, f"operation {fail_at}: the world has seen what the witness forgot"
            assert checkpoint_of(mine).size >= checkpoint_of(seen).size
            assert store.last_s >= cosigned_at_s(seen.signed_by([W1.verifier])[0][1])
        assert public_note(folder) == mine
        if store.conviction(ORIGIN) is None:
            assert not list((folder / "public").glob("evidence/*"))
        if mine is None or checkpoint_of(mine).size < SIZES[-1]:
            store.cosign(notes[-1], NOW_S + 100)
        assert checkpoint_of(public_note(folder)).size == SIZES[-1]
        shutil.rmtree(folder)


def test_a_smaller_tree_or_another_of_the_same_size_is_never_cosigned_whoever_asks(tmp_path, notes):
    store = store_in(tmp_path)
    store.cosign(notes[1], NOW_S)
    for note in notes[:2]:
        with pytest.raises(ValueError, match="would be cosigned after"):
            store.cosign(note, NOW_S + 1)
    assert checkpoint_of(public_note(tmp_path)).size == SIZES[1]


def test_a_record_that_is_damaged_or_anothers_is_told_and_never_passed_over(tmp_path, notes):
    store_in(tmp_path).cosign(notes[0], NOW_S)
    (record,) = (tmp_path / "private/logs").glob("*/checkpoint")
    whole = record.read_bytes()
    others = Note.parse(whole).with_signatures([])
    for data in (whole[:-9], b"", bytes(notes[0]), bytes(Note(others.text, (W2.cosign(others.text, NOW_S),)))):
        record.write_bytes(data)
        with pytest.raises(UserError, match=r"is damaged .* another key"):
            store_in(tmp_path)
    record.write_bytes(whole)
    record.parent.rename(record.parent.with_name(log_id("another")))
    with pytest.raises(UserError, match="belongs elsewhere"):
        store_in(tmp_path)


def test_a_folder_that_was_put_back_from_a_backup_is_refused(tmp_path, notes):
    store = store_in(tmp_path)
    store.cosign(notes[0], NOW_S)
    shutil.copytree(tmp_path / "private", tmp_path / "backup")
    store.cosign(notes[1], NOW_S + 1)
    shutil.rmtree(tmp_path / "private")
    (tmp_path / "backup").rename(tmp_path / "private")
    with pytest.raises(UserError, match="was put back from a backup"):
        store_in(tmp_path)
    shutil.rmtree(tmp_path / "private")
    with pytest.raises(UserError, match="was put back from a backup"):
        store_in(tmp_path)


def test_a_log_whose_record_was_lost_from_public_is_published_again(tmp_path, notes):
    store_in(tmp_path).cosign(notes[0], NOW_S)
    shutil.rmtree(tmp_path / "public")
    store_in(tmp_path)
    assert checkpoint_of(public_note(tmp_path)).size == SIZES[0]
    assert (tmp_path / "public/logs.txt").exists()


def test_a_public_copy_that_is_damaged_costs_no_key_and_is_written_again_once_it_is_deleted(tmp_path, notes):
    store_in(tmp_path).cosign(notes[0], NOW_S)
    (copy,) = (tmp_path / "public/logs").glob("*/checkpoint")
    whole = copy.read_bytes()
    copy.write_bytes(whole[:-9])
    with pytest.raises(UserError, match=r"is damaged .* delete it") as caught:
        store_in(tmp_path)
    assert "another key" not in str(caught.value)
    copy.unlink()
    store_in(tmp_path)
    assert copy.read_bytes() == whole


def environment(folder) -> dict[str, str]:
    return {
        "EVERYCENT_WITNESS_DIR": str(folder / "private"),
        "EVERYCENT_WITNESS_PUBLIC": str(folder / "public"),
        "EVERYCENT_WITNESS_INTERVAL_S": "1",
        "EVERYCENT_METRICS_PORT": "0",
    }


def run(folder, *words):
    return CliRunner().invoke(app, ["ledger", *map(str, words)], env=environment(folder))


def test_a_witnesss_key_is_made_once_for_its_owner_alone(tmp_path):
    done = run(tmp_path, "witness-keygen", "charity.test/w")
    key = VerifierKey.parse(done.stdout)
    assert (key.name, key.kind) == ("charity.test/w", 4)
    path = tmp_path / "private/witness-key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert run(tmp_path, "witness-keygen", "charity.test/w").stdout == done.stdout
    assert load_witness_key(tmp_path / "private").verifier == key
    for words, told in (
        (("witness-keygen", "other.test/w"), "is the key of 'charity.test/w' already"),
        (("witness-keygen", "a b"), "must not be empty nor hold spaces"),
    ):
        assert told in str(run(tmp_path, *words).exception)
    path.chmod(0o644)
    with pytest.raises(UserError, match="can be read by others"):
        load_witness_key(tmp_path / "private")
    path.chmod(0o600)
    path.write_text(SIGNER.secret_text())
    with pytest.raises(UserError, match="a log's key, not a witness's"):
        load_witness_key(tmp_path / "private")


def command(folder, *words) -> list[str]:
    """The command as a process of its own: it sets up its logs for the streams that it has."""
    watched = ("--log", str(folder / "served"), "--key", str(SIGNER.verifier))
    return [sys.executable, "-m", "streams.cli", "ledger", "witness", *watched, *words]


def look_once(folder) -> int:
    """The exit status."""
    done = subprocess.run(
        command(folder, "--once"),
        env={**os.environ, **environment(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode


@pytest.fixture
def made(tmp_path):
    """A witness with its key, and a log to watch."""
    make_witness_key(tmp_path / "private", "charity.test/w")
    log = GrowingLog(tmp_path / "ledger").grow(300)
    (tmp_path / "served/donations").mkdir(parents=True)
    (tmp_path / "served/donations/0").symlink_to(log.folder)
    return log


def test_the_command_looks_once_and_says_by_its_exit_status_what_it_found(tmp_path, made):
    assert look_once(tmp_path) == 0
    assert checkpoint_of(public_note(tmp_path)).size == 300
    GrowingLog(tmp_path / "liar", 200).grow(300).take_place_of(made)
    assert look_once(tmp_path) == 1
    (path,) = (tmp_path / "private/evidence").glob("*.json")
    done = run(tmp_path, "evidence", path, "--key", SIGNER.verifier)
    assert (done.exit_code, done.stdout.startswith("PROVEN: everycent.test/donations/0 has signed")) == (0, True)
    done = run(tmp_path, "evidence", path, "--key", SIGNER.verifier, "--json")
    assert '"proven":true,"charge":"two-trees"' in done.stdout
    shutil.rmtree(made.folder)
    shutil.rmtree(tmp_path / "private/evidence")
    assert look_once(tmp_path) == 3


def test_what_a_person_can_mend_is_one_line(tmp_path, made):
    other = make_keys(tmp_path / "keys", ["ledger.test/donations/0", "ledger.test/donations/1"])
    for words, told in (
        (("witness", "--once"), "which logs?"),
        (("witness", "--log", tmp_path / "served"), "none of the keys is of a log at"),
        (("witness", "--key", SIGNER.verifier), "nobody says where"),
        (("witness", "--log", "ftp://x", "--key", SIGNER.verifier), "is none of https://"),
        (("witness", "--log", tmp_path / "served", "--key", W1.verifier), "is a witness's, not a log's"),
        (("evidence", tmp_path / "nothing", "--key", SIGNER.verifier), "can't be read"),
        (("evidence", tmp_path / "private/witness-key", "--key", SIGNER.verifier), "this is no evidence"),
        (("witness", "--log", "x/donations/0", *(f"--key={key}" for key in other)), "nobody says where"),
    ):
        done = run(tmp_path, *words)
        assert isinstance(done.exception, UserError), done.output
        assert told in str(done.exception)
    with locked(tmp_path / "private", "being this witness"):
        done = run(tmp_path, "witness", "--log", tmp_path / "served", "--key", SIGNER.verifier, "--once")
        assert "another process is being this witness" in str(done.exception)


def test_a_ledgers_address_and_its_keys_say_where_each_log_is(tmp_path):
    names = ["a.test/x/donations/0", "a.test/x/donations/11", "a.test/x/seals"]
    keys = [SignerKey.from_seed(name, bytes([at]) * 32).verifier for at, name in enumerate(names)]
    rotated = SignerKey.from_seed(names[0], b"\x77" * 32).verifier
    found = watched_logs(["https://a.test/ledger/"], [*keys, rotated])
    assert [(log.origin, log.address) for log in found] == [
        (names[0], "https://a.test/ledger/donations/0"),
        (names[1], "https://a.test/ledger/donations/11"),
        (names[2], "https://a.test/ledger/seals"),
    ]
    assert found[0].keys == (keys[0], rotated)
    other = SignerKey.from_seed("go.sum database tree".replace(" ", "-"), b"\x01" * 32).verifier
    (found,) = watched_logs(["https://sum.test/tlog"], [other])
    assert (found.origin, found.address) == (other.name, "https://sum.test/tlog")
    one = watched_logs(["https://a.test/donations/11", "https://b.test"], [keys[1], keys[2]])
    assert [log.address for log in one] == ["https://a.test/donations/11", "https://b.test/seals"]


def test_a_witness_that_is_killed_again_and_again_publishes_one_history(tmp_path, made):
    """kill -9 while it cosigns a log that grows; each cosigned checkpoint that was ever public extends those before."""
    seen: list[Note] = []
    size = 300
    for number in range(3):
        process = subprocess.Popen(
            command(tmp_path),
            env={**os.environ, **environment(tmp_path)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        deadline = time.monotonic() + 60
        before = len(seen)
        while time.monotonic() < deadline and len(seen) == before:
            note = public_note(tmp_path)
            if note is not None and (not seen or note != seen[-1]):
                seen.append(note)
                made.grow(size := size + 100)
                time.sleep(0.4 * number)  # into its next look
        process.send_signal(signal.SIGKILL)
        process.communicate()
        note = public_note(tmp_path)
        if note != seen[-1]:
            seen.append(note)
    assert len(seen) >= 3
    for old, new in pairwise(seen):
        one, other = checkpoint_of(old), checkpoint_of(new)
        proof = consistency(made, one.size, other.size)
        verify_consistency(one.size, one.root, other.size, other.root, proof)
    assert look_once(tmp_path) == 0


def consistency(log: GrowingLog, old: int, new: int) -> list[bytes]:
    return consistency_proof(log.writer.log.nodes(log.writer.size), old, new)


def test_a_following_witness_serves_its_cosignatures_and_metrics_and_ends_in_order_at_a_signal(tmp_path, made):
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        port, metrics_port = one.getsockname()[1], other.getsockname()[1]
    env = {**os.environ, **environment(tmp_path), "EVERYCENT_METRICS_PORT": str(metrics_port)}
    process = subprocess.Popen(
        command(tmp_path, "--port", str(port)), env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        note = fetch(f"http://127.0.0.1:{port}/{published_path(ORIGIN)}")
        assert checkpoint_of(Note.parse(note)).size == 300
        made.grow(400)
        deadline = time.monotonic() + 60
        while f'cosigned_leaves{{log="{ORIGIN}"}} 400.0' not in (text := fetch(metrics(metrics_port)).decode()):
            assert time.monotonic() < deadline, text
            time.sleep(0.1)
        assert f'everycent_witness_alarm{{log="{ORIGIN}"}} 0.0' in text
        assert fetch(f"http://127.0.0.1:{metrics_port}/healthz")
        GrowingLog(tmp_path / "liar", 200).grow(400).take_place_of(made)
        while f'everycent_witness_alarm{{log="{ORIGIN}"}} 1.0' not in fetch(metrics(metrics_port)).decode():
            assert time.monotonic() < deadline + 60
            time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 1
        assert errors.count("ALARM: the log can't be trusted") == 1
        assert "Traceback" not in errors
    finally:
        process.kill()
        process.communicate()


def metrics(port: int) -> str:
    return f"http://127.0.0.1:{port}/metrics"


def fetch(url: str) -> bytes:
    """As soon as there is an answer."""
    deadline = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(url, timeout=10) as response:
                return response.read()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
