"""Cosignatures are collected for one checkpoint at a time, until receipts carry as many as the policy asks for."""

import shutil
from contextlib import AsyncExitStack

import pytest
from structlog.testing import capture_logs
from typer.testing import CliRunner

from streams.cli import app
from streams.errors import UserError
from streams.ledger.checkpoint import Checkpoint
from streams.ledger.notes import KeyType, Note, SignerKey, sign_note
from streams.ledger.policy import Policy
from streams.ledger.published import checkpoint_of
from streams.ledger.receipt import make_receipt, verify_receipt
from streams.ledger_service.collect import AHEAD_MAX_S, Collector
from streams.ledger_service.files import Disk, locked, write_durably
from streams.ledger_service.receipts import best_note
from streams.ledger_service.remote import Remote
from streams.ledger_service.witness_store import published_path
from tests.ledger.parts import ORIGIN, SALTS, SIGNER, donation
from tests.ledger.witness_parts import NOW_S, GrowingLog, bench

SIGNERS = [
    SignerKey.from_seed(f"w{number}.test", bytes([0x50 + number]) * 32, KeyType.COSIGNATURE) for number in range(3)
]
INTERVAL_S = 10


class World:
    """A ledger of one log, three witnesses of it, and the collector; one clock for all."""

    def __init__(self, folder, stack, remote):
        self._stack = stack
        self.folder = folder
        self.log = GrowingLog(folder / "log")
        self.ledger = folder / "ledger"
        (self.ledger / "donations").mkdir(parents=True)
        (self.ledger / "donations/0").symlink_to(self.log.folder)
        (self.ledger / "keys.txt").write_text(f"{SIGNER.verifier}\n")
        self.witnesses = []
        lines = "".join(
            f"witness w{number} {signer.verifier} {folder}/w{number}/public\n" for number, signer in enumerate(SIGNERS)
        )
        self.policy_text = f"log {SIGNER.verifier}\n{lines}group two 2 w0 w1 w2\nquorum two\n"
        self.policy = Policy.parse(self.policy_text.encode())
        self.now_s = NOW_S
        self.collector = Collector(self.ledger, self.policy, remote, INTERVAL_S, lambda: self.now_s)

    async def start(self, *numbers):
        for number in numbers:
            one = await self._stack.enter_async_context(
                bench(self.folder / f"w{number}", self.ledger / "donations/0", SIGNERS[number])
            )
            self.witnesses.append(one)

    async def collect(self):
        (found,) = await self.collector.collect()
        return found

    async def look(self, *numbers):
        for number in numbers:
            await self.witnesses[number].look()

    def cosigned(self) -> Note | None:
        path = self.log.folder / "witness/checkpoint"
        return Note.parse(path.read_bytes()) if path.exists() else None

    def pending(self) -> int:
        return checkpoint_of(Note.parse((self.log.folder / "witness/pending").read_bytes())).size

    def age_pending(self, s: float):
        """As if it had been held out for so long."""
        self.now_s = (self.log.folder / "witness/pending").stat().st_mtime + s


@pytest.fixture
async def world(tmp_path):
    async with AsyncExitStack() as stack:
        remote = await stack.enter_async_context(Remote())
        world = World(tmp_path, stack, remote)
        world.log.grow(300)
        yield world


async def test_witnesses_that_look_at_different_times_cosign_the_same_checkpoint_while_the_log_grows(world):
    found = await world.collect()
    assert (found.is_met, found.size, found.waiting) == (False, 0, 300)
    await world.start(0, 1, 2)
    for size, number in ((310, 0), (320, 1), (330, 2)):
        world.log.grow(size)
        await world.look(number)
    found = await world.collect()
    assert (found.is_met, found.size, found.cosigners, found.waiting) == (True, 300, ("w0", "w1", "w2"), 330)
    await world.look(0, 1)
    found = await world.collect()
    assert (found.size, found.cosigners, found.waiting) == (330, ("w0", "w1"), 330)  # the third may still come
    assert world.policy.is_met_by([key for key, _ in world.cosigned().signed_by(world.policy.witness_keys)])
    await world.look(2)
    found = await world.collect()
    assert (found.size, found.cosigners) == (330, ("w0", "w1", "w2"))


async def test_a_receipt_carries_what_was_collected_and_verifies_by_the_policy_alone(world):
    await world.collect()
    await world.start(0, 1)
    await world.look(0, 1)
    await world.collect()
    world.log.grow(400)
    folder = world.log.folder
    newest = world.log.writer.log.note()
    note = best_note(folder, newest, 299, world.policy)
    receipt = make_receipt(world.log.writer.log, note, 299, SALTS)
    verified = verify_receipt(bytes(receipt), [], donation(299).buyer_id, world.policy)
    assert [key for key, _ in verified.cosigned_by] == [SIGNERS[0].verifier, SIGNERS[1].verifier]
    assert best_note(folder, newest, 300, world.policy) is None


async def test_a_witness_that_is_away_holds_nobody_up_for_longer_than_the_patience(world):
    await world.collect()
    await world.start(0, 1)
    await world.look(0, 1)
    world.log.grow(400)
    found = await world.collect()
    assert (found.size, found.waiting) == (300, 300)
    world.age_pending(5 * INTERVAL_S)
    assert (await world.collect()).waiting == 300
    world.age_pending(7 * INTERVAL_S)
    assert (await world.collect()).waiting == 400
    await world.look(0, 1)
    assert (await world.collect()).size == 400


async def test_too_few_witnesses_are_never_enough_and_what_was_cosigned_before_stays(world):
    await world.collect()
    await world.start(0, 1)
    await world.look(0, 1)
    await world.collect()
    before = world.cosigned()
    world.log.grow(400)
    world.age_pending(7 * INTERVAL_S)
    await world.collect()
    await world.look(0)
    found = await world.collect()
    assert (found.size, found.cosigners) == (300, ("w0", "w1"))
    assert world.cosigned() == before
    assert best_note(world.log.folder, world.log.writer.log.note(), 350, world.policy) is None


async def test_a_witness_that_has_gone_past_the_pending_checkpoint_makes_it_move_on_at_once(world):
    await world.start(0, 1)
    await world.look(0, 1)  # nothing was held out yet: both take the newest
    (world.log.folder / "witness").mkdir()
    shutil.copy(world.log.folder / "checkpoint", world.log.folder / "kept")
    world.log.grow(400)
    for one in world.witnesses:
        await one.look()
    write_durably(Disk(), world.log.folder / "witness", [("pending", (world.log.folder / "kept").read_bytes())])
    world.log.grow(500)
    assert (await world.collect()).waiting == 500
    await world.look(0, 1)
    assert (await world.collect()).size == 500


async def test_a_split_view_shown_to_two_witnesses_is_found_by_whoever_collects_and_makes_no_receipt(world):
    """The other view is signed with the ledger's own key: somebody has it, or the operator lies."""
    await world.collect()
    liar = GrowingLog(world.folder / "liar", 200).grow(300)
    await world.start(0)
    other = await world._stack.enter_async_context(bench(world.folder / "w1", liar.folder, SIGNERS[1]))
    await world.look(0)
    await other.look()
    with capture_logs() as lines:
        found = await world.collect()
    assert (found.split, found.is_met) == (("w1",), False)
    assert [line["event"] for line in lines].count("ALARM: a witness has cosigned another tree than ours") == 1
    assert best_note(world.log.folder, world.log.writer.log.note(), 100, world.policy) is None


async def test_a_witness_that_cosigns_what_we_never_signed_is_no_alarm_and_counts_for_nothing(world):
    await world.collect()
    forged = sign_note(Checkpoint(ORIGIN, 300, bytes(32)).text(), [SignerKey.from_seed(ORIGIN, b"\x01" * 32)])
    note = forged.with_signatures([SIGNERS[0].cosign(forged.text, NOW_S)])
    write_durably(Disk(), world.folder / "w0/public", [(published_path(ORIGIN), bytes(note))])
    found = await world.collect()
    assert (found.split, found.is_met) == ((), False)


def cosignature_of(world, signer: SignerKey, at_s: int = NOW_S) -> bytes:
    note = world.log.writer.log.note()
    return bytes(note.with_signatures([signer.cosign(note.text, at_s)]))


async def test_what_is_no_cosignature_of_the_witness_counts_for_nothing_and_is_told_once(world):
    await world.collect()
    good = cosignature_of(world, SIGNERS[1])
    for data, why in (
        (b"nonsense", "no signatures"),
        (cosignature_of(world, SIGNERS[2]), "without a cosignature of 'w0.test'"),
        (cosignature_of(world, SIGNERS[0], NOW_S + AHEAD_MAX_S + 1), "its clock is wrong"),
        (bytes(world.log.writer.log.note()), "without a cosignature"),
        (cosignature_of(world, SIGNERS[0])[:-10] + b"AAAAAAAA=\n", ""),
    ):
        write_durably(Disk(), world.folder / "w0/public", [(published_path(ORIGIN), data)])
        write_durably(Disk(), world.folder / "w1/public", [(published_path(ORIGIN), good)])
        with capture_logs() as lines:
            assert not (await world.collect()).is_met
            assert not (await world.collect()).is_met
        told = [line for line in lines if line["event"] == "no cosignature" and line["witness"] == "w0"]
        assert len(told) == 1, data
        assert why in told[0]["why"]
    write_durably(Disk(), world.folder / "w0/public", [(published_path(ORIGIN), cosignature_of(world, SIGNERS[0]))])
    assert (await world.collect()).is_met


def run(world_folder, *words):
    environment = {"EVERYCENT_LEDGER_DIR": str(world_folder / "ledger")}
    return CliRunner().invoke(app, ["ledger", "collect", *map(str, words)], env=environment)


async def test_the_log_and_its_files_are_left_as_they_were(world):
    before = {path: path.read_bytes() for path in world.log.folder.rglob("*") if path.is_file()}
    await world.start(0, 1, 2)
    await world.collect()
    await world.look(0, 1, 2)
    await world.collect()
    after = {path: path.read_bytes() for path in world.log.folder.rglob("*") if path.is_file()}
    assert after.items() >= before.items()
    assert {path.parent.name for path in after.keys() - before.keys()} == {"witness"}


def test_the_command_says_how_far_each_log_is(tmp_path):
    log = GrowingLog(tmp_path / "log").grow(300)
    (tmp_path / "ledger/donations").mkdir(parents=True)
    (tmp_path / "ledger/donations/0").symlink_to(log.folder)
    rule = tmp_path / "policy.txt"
    rule.write_text(f"witness w {SIGNERS[0].verifier} {tmp_path}/w0\nquorum w\n")
    note = log.writer.log.note()
    write_durably(
        Disk(), tmp_path / "w0",
        [(published_path(ORIGIN), bytes(note.with_signatures([SIGNERS[0].cosign(note.text, NOW_S - 10**6)])))],
    )  # fmt: skip
    done = run(tmp_path, "--policy", rule)
    assert (done.exit_code, done.stdout) == (0, f"{ORIGIN}: 300 leaves are cosigned by w; 300 wait\n"), done.exception
    rule.write_text(f"witness w {SIGNERS[1].verifier} {tmp_path}/w1\nquorum w\n")
    shutil.rmtree(log.folder / "witness")
    done = run(tmp_path, "--policy", rule)
    assert done.exit_code == 3
    rule.write_text(f"witness w {SIGNERS[1].verifier}\nquorum w\n")
    assert "names no witness with an address" in str(run(tmp_path, "--policy", rule).exception)
    rule.write_text(f"witness w {SIGNERS[1].verifier} {tmp_path}/w1\nquorum w\n")
    with locked(tmp_path / "ledger/.collect", "collecting cosignatures"):
        done = run(tmp_path, "--policy", rule)
    assert isinstance(done.exception, UserError)
