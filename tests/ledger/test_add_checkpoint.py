"""A witness that is sent checkpoints: every status of C2SP tlog-witness, and what stays so however they come."""

import asyncio
import os

import aiohttp
import pytest
from structlog.testing import capture_logs

from streams.errors import UserError
from streams.ledger.checkpoint import Checkpoint
from streams.ledger.evidence import Charge, Evidence, check_evidence
from streams.ledger.notes import Note, NoteError, SignerKey, cosigned_at_s, sign_note
from streams.ledger.policy import Policy
from streams.ledger.published import checkpoint_of
from streams.ledger.submission import (
    PROOF_LINES_MAX,
    SUBMISSION_MAX_BYTES,
    Submission,
    parse_cosignatures,
    parse_size,
)
from streams.ledger.tree import EMPTY_ROOT, consistency_proof
from streams.ledger_service.witness import Outcome, follow
from streams.ledger_service.witness_run import Port, logs_of_policy, serving_public, watched_logs
from streams.ledger_service.witness_store import ClockError
from tests.ledger.parts import ORIGIN, SIGNER, FaultyDisk
from tests.ledger.witness_parts import NOW_S, W1, GrowingLog, bench, published

NAMED = "everycent.test/donations/0"


def submission(log: GrowingLog, old: int, note: Note | None = None) -> Submission:
    """As an honest log sends it: the newest checkpoint, and the proof from `old`."""
    note = note or log.writer.log.note()
    size = checkpoint_of(note).size
    return Submission(old, tuple(consistency_proof(log.writer.log.nodes(size), old, size)) if old <= size else (), note)


@pytest.fixture
async def sent_alone(tmp_path):
    """A witness that knows of the log what it is sent, nothing else."""
    async with bench(tmp_path / "w", "") as found:
        yield found


def given(witness, sent: Submission):
    return witness.witness.add_checkpoint(bytes(sent))


# The form


def test_a_submission_is_written_as_the_protocol_has_it_and_read_again(log):
    sent = submission(log.grow(500), 300)
    data = bytes(sent)
    first, *proof, blank, origin = data.split(b"\n")[: len(sent.proof) + 3]
    assert (first, blank, origin) == (b"old 300", b"", NAMED.encode())
    assert len(proof) == len(sent.proof) > 0
    assert Submission.parse(data) == sent
    assert bytes(submission(log, 0)).startswith(b"old 0\n\n" + NAMED.encode())


@pytest.mark.parametrize(
    ("was", "becomes"),
    [
        (b"old 300\n", b"old 0300\n"),
        (b"old 300\n", b"old -1\n"),
        (b"old 300\n", b"old  300\n"),
        (b"old 300\n", b"300\n"),
        (b"old 300\n", b"old 300 \n"),
        (b"old 300\n", b"old 300\nAAAA\n"),
        (b"old 300\n", b"old 300\nno base64\n"),
        (b"old 300\n", b"old 300\n" + b"\xff\n"),
        (b"old 300\n", b"old 300\n" + (PROOF_LINES_MAX + 1) * (b"A" * 43 + b"=\n")),
        (b"old 300\n", b"old 9223372036854775808\n"),
        (b"\n\n", b"\n"),
    ],
)
def test_what_is_malformed_is_refused_as_that(sent_alone, log, was, becomes):
    data = bytes(submission(log.grow(500), 300))
    assert was in data
    with pytest.raises(NoteError):
        Submission.parse(data.replace(was, becomes))
    assert sent_alone.witness.add_checkpoint(data.replace(was, becomes)).status == 400


def test_random_bytes_are_malformed_and_nothing_worse(sent_alone):
    for length in (0, 1, 100, SUBMISSION_MAX_BYTES + 1):
        assert sent_alone.witness.add_checkpoint(os.urandom(length)).status == 400
    for data in (b"x", b"01\n", b"\xff", b"1\n2\n"):
        with pytest.raises(NoteError):
            parse_size(data)


# Each status


def test_growth_is_cosigned_from_nothing_on_and_remembered_before_it_is_answered(sent_alone, log):
    before = 0
    for size in (300, 512, 513, 2_000):
        if size > 300:
            log.grow(size)
        sent_alone.now_s += 7
        added = given(sent_alone, submission(log, before))
        assert added.status == 200, added.body
        note = parse_cosignatures(log.writer.log.note().text, added.body.encode())
        ((_, signature),) = note.signed_by([W1.verifier])
        assert cosigned_at_s(signature) == sent_alone.now_s
        assert published(sent_alone).text == note.text
        before = size
    standing = sent_alone.witness.standings[ORIGIN]
    assert (standing.size, standing.cosigned_s, standing.good_s) == (2_000, sent_alone.now_s, sent_alone.now_s)
    sent_alone.restart()
    assert sent_alone.size == 2_000


def test_another_size_than_the_last_one_is_answered_with_that(sent_alone, log):
    added = given(sent_alone, submission(log, 7))
    assert (added.status, added.body, added.content_type) == (409, "0\n", "text/x.tlog.size")
    given(sent_alone, submission(log, 0))
    log.grow(400)
    for old in (0, 299, 400):
        added = given(sent_alone, submission(log, old))
        assert (added.status, added.body, added.content_type) == (409, "300\n", "text/x.tlog.size")
    assert sent_alone.size == 300


def test_an_unknown_log_a_foreign_key_and_a_size_beyond_the_checkpoint_have_their_status(sent_alone, log):
    stranger = SignerKey.from_seed("elsewhere.test/log", b"\x05" * 32)
    text = log.writer.log.note().text
    other = sign_note(text.replace(NAMED, "elsewhere.test/log"), [stranger])
    assert given(sent_alone, Submission(0, (), other)).status == 404
    swapped = sign_note(text, [SignerKey.from_seed(NAMED, b"\x06" * 32)])
    assert given(sent_alone, Submission(0, (), swapped)).status == 403
    signed = log.writer.log.note()
    forged = Note(signed.text.replace("\n300\n", "\n301\n"), signed.signatures)
    assert given(sent_alone, Submission(0, (), forged)).status == 403
    assert given(sent_alone, Submission(301, (), signed)).status == 400
    assert sent_alone.size == 0
    assert not sent_alone.evidence()


@pytest.mark.parametrize("old", [300, 512])
def test_a_proof_that_does_not_prove_is_refused_and_no_alarm(sent_alone, log, old):
    given(sent_alone, submission(log if old == 300 else log.grow(old), 0))
    right = submission(log.grow(700), old)
    flipped = bytes([right.proof[-1][0] ^ 1]) + right.proof[-1][1:]
    for proof in ((), right.proof[:-1], (*right.proof, bytes(32)), (*right.proof[:-1], flipped)):
        assert given(sent_alone, Submission(old, proof, right.note)).status == 422
    assert sent_alone.size == old
    assert not sent_alone.evidence()
    assert given(sent_alone, right).status == 200
    assert given(sent_alone, Submission(700, (bytes(32),), right.note)).status == 422


def test_a_proof_from_nothing_must_be_empty(sent_alone, log):
    assert given(sent_alone, Submission(0, (bytes(32),), log.writer.log.note())).status == 422


def test_an_empty_log_has_the_empty_trees_root(sent_alone):
    wrong = sign_note(Checkpoint(ORIGIN, 0, bytes(32)).text(), [SIGNER])
    assert given(sent_alone, Submission(0, (), wrong)).status == 422
    right = sign_note(Checkpoint(ORIGIN, 0, EMPTY_ROOT).text(), [SIGNER])
    assert given(sent_alone, Submission(0, (), right)).status == 200


def test_what_was_cosigned_already_is_answered_without_a_write_and_with_further_lines_it_is_cosigned_too(
    tmp_path, sent_alone, log
):
    sent = submission(log, 0)
    first = given(sent_alone, sent)
    sent_alone.now_s += 100
    again = Submission(300, (), sent.note)
    record = next((sent_alone.folder / "logs").glob("*/checkpoint"))
    before = record.stat()
    assert given(sent_alone, again) == first
    assert record.stat().st_mtime_ns == before.st_mtime_ns
    extended = sign_note(sent.note.text + "a further line\n", [SIGNER])
    added = given(sent_alone, Submission(300, (), extended))
    assert added.status == 200
    assert parse_cosignatures(extended.text, added.body.encode()).signed_by([W1.verifier])


# Attacks


def proven(witness) -> Charge:
    (path,) = witness.evidence()
    evidence = Evidence.parse(path.read_bytes())
    assert check_evidence(evidence, [SIGNER.verifier]).proven
    return evidence.charge


def test_two_trees_of_one_size_are_an_alarm_with_evidence_and_the_log_is_never_cosigned_again(sent_alone, log, liar):
    given(sent_alone, submission(log, 0))
    with capture_logs() as lines:
        added = given(sent_alone, Submission(300, (), liar.grow(300).writer.log.note()))
    assert (added.status, added.content_type) == (409, "text/plain")  # which says that it is no size
    assert [line["event"] for line in lines] == ["ALARM: the log can't be trusted"]
    assert proven(sent_alone) is Charge.TWO_TREES
    assert given(sent_alone, submission(log.grow(400), 300)).status == 403
    assert sent_alone.witness.standings[ORIGIN].outcome is Outcome.ALARM
    sent_alone.restart()
    assert given(sent_alone, submission(log, 300)).status == 403


async def test_a_rewritten_log_that_sends_its_own_proof_convicts_itself(sent_alone, log, liar):
    given(sent_alone, submission(log, 0))
    liar.grow(300)
    added = given(sent_alone, submission(liar.grow(500), 300))
    assert added.status == 422
    assert proven(sent_alone) is Charge.REWRITTEN
    assert await sent_alone.look() is Outcome.ALARM
    sent_alone.restart()
    assert await sent_alone.look() is Outcome.ALARM


async def test_a_look_that_a_request_overtakes_cosigns_nothing_that_it_has_not_compared(tmp_path, log, http):
    """Else a tree that follows from the one before could be cosigned behind one that it doesn't follow from."""
    address, _, failing = http
    async with bench(tmp_path / "w", address) as witness:
        await witness.look()
        log.grow(400)
        newest = bytes(log.writer.log.note())
        log.grow(500)

        async def overtaken(_):
            assert given(witness, submission(log, 300)).status == 200
            return aiohttp.web.Response(body=newest)

        failing["checkpoint"] = overtaken
        assert await witness.look() is Outcome.UNCHANGED
        assert witness.size == 500
        assert checkpoint_of(published(witness)).size == 500


async def test_a_log_that_sends_what_is_right_and_shows_what_is_old_is_still_found(tmp_path, log):
    """Only a look at the files says that the files are as they must be."""
    async with bench(tmp_path / "w", log.folder, stale_s=60) as witness:
        await witness.look()
        old = (log.folder / "checkpoint").read_bytes()
        log.grow(400)
        given(witness, submission(log, 300))
        (log.folder / "checkpoint").write_bytes(old)
        assert await witness.look(30) is Outcome.DOUBTFUL
        (log.folder / "checkpoint").write_bytes(bytes(submission(log.grow(500), 400).note))
        given(witness, submission(log, 400))
        (log.folder / "checkpoint").write_bytes(old)
        assert await witness.look(40) is Outcome.ALARM


async def test_requests_at_once_never_roll_it_back(sent_alone, log):
    given(sent_alone, submission(log, 0))
    notes = [log.grow(size).writer.log.note() for size in (310, 320, 330)]
    async with serving_public(sent_alone.public, Port("127.0.0.1", 0), sent_alone.witness) as address:
        bodies = [bytes(submission(log, 300, note)) for note in notes]
        async with aiohttp.ClientSession() as session:
            answers = await asyncio.gather(*(session.post(f"{address}/add-checkpoint", data=each) for each in bodies))
            assert sorted(answer.status for answer in answers) == [200, 409, 409]
    assert sent_alone.size in {310, 320, 330}
    assert checkpoint_of(published(sent_alone)).size == sent_alone.size


# Over HTTP, and what it can't do


async def test_over_http_it_answers_as_it_judges_and_goes_on_serving_its_files(sent_alone, log):
    async with (
        serving_public(sent_alone.public, Port("127.0.0.1", 0), sent_alone.witness) as address,
        aiohttp.ClientSession() as session,
    ):
        async with session.post(f"{address}/add-checkpoint", data=bytes(submission(log, 3))) as answer:
            assert (answer.status, answer.content_type, await answer.text()) == (409, "text/x.tlog.size", "0\n")
        async with session.post(f"{address}/add-checkpoint", data=bytes(submission(log, 0))) as answer:
            assert (answer.status, (await answer.text())[:2]) == (200, "— ")
        async with session.get(f"{address}/witness.txt") as answer:
            assert await answer.text() == f"{W1.verifier}\n"
        async with session.post(f"{address}/add-checkpoint", data=bytes(SUBMISSION_MAX_BYTES + 1)) as answer:
            assert answer.status == 413
        async with session.get(f"{address}/add-checkpoint") as answer:
            assert answer.status in {404, 405}


async def test_a_clock_or_a_disk_that_fails_cosigns_nothing_and_ends_the_witness(sent_alone, log):
    given(sent_alone, submission(log, 0))
    sent = bytes(submission(log.grow(400), 300))

    async def answered() -> int:
        async with (
            serving_public(sent_alone.public, Port("127.0.0.1", 0), sent_alone.witness) as address,
            aiohttp.ClientSession() as session,
            session.post(f"{address}/add-checkpoint", data=sent) as answer,
        ):
            return answer.status

    sent_alone.now_s = NOW_S - 1_000
    assert await answered() == 503
    with pytest.raises(ClockError):
        await sent_alone.witness.look()
    sent_alone.now_s = NOW_S + 1_000
    disk = FaultyDisk()
    sent_alone.restart(disk)
    disk._fail_at, disk._error = disk.operations, True
    assert await answered() == 503
    disk._fail_at = None
    assert await answered() == 503  # nobody knows what was written
    async with asyncio.timeout(10):
        with pytest.raises(OSError, match="Input/output"):
            await follow(sent_alone.witness, asyncio.Event(), 3_600)
    sent_alone.restart()
    assert await answered() == 200


def test_a_log_without_an_address_is_one_that_sends_and_without_a_port_a_mistake():
    (found,) = watched_logs([], [SIGNER.verifier], may_send=True)
    assert (found.origin, found.address) == (ORIGIN, "")
    with pytest.raises(UserError, match="nobody says where"):
        watched_logs([], [SIGNER.verifier])
    policy = Policy.parse(f"log {SIGNER.verifier}\nquorum none\n".encode())
    assert logs_of_policy(policy, may_send=True) == [found]
    with pytest.raises(UserError, match="has no address"):
        logs_of_policy(policy)
