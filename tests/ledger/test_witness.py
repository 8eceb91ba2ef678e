"""A witness at work, over HTTP and over folders: it cosigns what has only grown, and no attack gets past it."""

import shutil
import stat

import pytest
from structlog.testing import capture_logs

from streams.ledger.checkpoint import Checkpoint
from streams.ledger.evidence import Charge, Evidence, check_evidence
from streams.ledger.notes import Note, SignerKey, cosigned_at_s, sign_note
from streams.ledger.published import checkpoint_of
from streams.ledger_service.witness import Outcome
from streams.ledger_service.witness_store import EARLIEST_S, ClockError, log_id, published_path
from tests.ledger.parts import ORIGIN, SIGNER
from tests.ledger.witness_parts import NOW_S, STALE_S, W1, W2, GrowingLog, bench, published

COSIGNED, UNCHANGED, DOUBTFUL, UNREACHABLE, ALARM = Outcome


def proven(witness) -> str:
    """The one piece of evidence that it has, which the log's own signatures must bear out."""
    (path,) = witness.evidence()
    evidence = Evidence.parse(path.read_bytes())
    finding = check_evidence(evidence, [SIGNER.verifier])
    assert finding.proven, finding.text
    assert (witness.public / "evidence" / path.name).read_bytes() == path.read_bytes()
    return evidence.charge


async def test_over_http_each_growth_is_cosigned_once_with_few_requests(tmp_path, log, http):
    address, asked, _ = http
    async with bench(tmp_path / "w", address) as witness:
        for size in (300, 301, 512, 1_024, 3_000):
            if size > 300:
                log.grow(size)
            asked.clear()
            assert await witness.look() is COSIGNED
            assert len(asked) <= 2 + 12
            note = published(witness)
            ((key, signature),) = note.signed_by([W1.verifier])
            assert note.signed_by([SIGNER.verifier])
            assert (checkpoint_of(note).size, cosigned_at_s(signature), key) == (size, witness.now_s, W1.verifier)
            assert await witness.look() is UNCHANGED
            assert published(witness) == note
    assert (witness.public / "witness.txt").read_text() == f"{W1.verifier}\n"
    assert (witness.public / "logs.txt").read_text() == f"{log_id(ORIGIN)} {ORIGIN}\n"


async def test_it_goes_on_after_a_restart_and_what_it_keeps_for_itself_nobody_else_may_read(witness, log):
    await witness.look()
    witness.restart()
    assert witness.size == 300
    assert await witness.look() is UNCHANGED
    log.grow(400)
    assert await witness.look() is COSIGNED
    (record,) = (witness.folder / "logs").glob("*/checkpoint")
    assert stat.S_IMODE(record.stat().st_mode) == 0o600
    assert record.read_bytes() == bytes(published(witness))


async def test_a_log_that_was_rewritten_is_never_cosigned_again_and_its_own_signatures_prove_it(witness, log, liar):
    await witness.look()
    liar.grow(300).grow(500).take_place_of(log)
    with capture_logs() as lines:
        assert await witness.look() is ALARM
    assert [line["event"] for line in lines if line["log_level"] == "error"] == ["ALARM: the log can't be trusted"]
    assert proven(witness) is Charge.REWRITTEN
    assert checkpoint_of(published(witness)).size == 300
    shutil.rmtree(log.folder)
    GrowingLog(log.folder.parent).grow(600)  # the honest log is back: too late
    assert await witness.look() is ALARM
    witness.restart()
    assert await witness.look() is ALARM
    assert checkpoint_of(published(witness)).size == 300


async def test_two_trees_of_one_size_are_found_with_the_evidence(witness, log, liar):
    await witness.look()
    liar.grow(300).take_place_of(log)
    assert await witness.look() is ALARM
    assert proven(witness) is Charge.TWO_TREES


async def test_an_alarm_is_told_once_for_as_long_as_it_stays(witness, log, liar):
    await witness.look()
    liar.grow(300).take_place_of(log)
    with capture_logs() as lines:
        for _ in range(5):
            await witness.look()
    errors = [line for line in lines if line["log_level"] == "error"]
    assert [line["charge"] for line in errors] == ["two-trees"]
    witness.restart()
    with capture_logs() as lines:
        for _ in range(3):
            await witness.look()
    assert [line["charge"] for line in lines if line["log_level"] == "error"] == ["convicted"]


async def test_a_checkpoint_that_was_rolled_back_is_a_cache_at_first_and_then_an_alarm(witness, log, tmp_path):
    shutil.copytree(log.folder, tmp_path / "before")
    await witness.look()
    log.grow(500)
    await witness.look()
    (log.folder / "checkpoint").write_bytes((tmp_path / "before/checkpoint").read_bytes())
    assert await witness.look() is DOUBTFUL
    assert await witness.look(STALE_S - 20) is DOUBTFUL
    assert not witness.evidence()
    assert await witness.look(20) is ALARM
    (path,) = witness.evidence()
    evidence = Evidence.parse(path.read_bytes())
    assert (evidence.charge, checkpoint_of(Note.parse(evidence.first.encode())).size) == (Charge.ROLLED_BACK, 300)
    finding = check_evidence(evidence, [SIGNER.verifier])
    assert not finding.proven  # a rollback that goes on is no contradiction
    log.grow(600)
    with capture_logs() as lines:
        assert await witness.look() is COSIGNED
    assert "the alarm is over" in [line["event"] for line in lines]


async def test_a_log_that_was_put_back_whole_and_grew_another_way_is_found(witness, log, liar):
    await witness.look()
    liar.grow(250).take_place_of(log)  # its tiles for 300 leaves are gone, so nothing can be proven yet
    assert await witness.look() is DOUBTFUL
    assert await witness.look(STALE_S + 1) is ALARM
    liar.grow(400).take_place_of(log)
    assert await witness.look() is ALARM
    charges = {Evidence.parse(path.read_bytes()).charge for path in witness.evidence()}
    assert charges == {Charge.ROLLED_BACK, Charge.REWRITTEN}


async def test_a_swapped_key_is_an_alarm_at_once_and_costs_no_trust_once_the_right_one_is_back(witness, log, tmp_path):
    await witness.look()
    kept = (log.folder / "checkpoint").read_bytes()
    swapped = SignerKey.from_seed(ORIGIN, b"\x66" * 32)
    note = sign_note(Note.parse(kept).text, [swapped])
    (log.folder / "checkpoint").write_bytes(bytes(note))
    assert await witness.look() is ALARM
    (path,) = witness.evidence()
    finding = check_evidence(Evidence.parse(path.read_bytes()), [SIGNER.verifier])
    assert not finding.proven
    assert "another key has signed" in finding.text
    (log.folder / "checkpoint").write_bytes(kept)
    assert await witness.look() is UNCHANGED


async def test_a_rotated_key_is_no_alarm_for_whoever_knows_either(tmp_path, log):
    newer = SignerKey.from_seed(ORIGIN, b"\x08" * 32)
    async with bench(tmp_path / "w", log.folder, keys=(SIGNER.verifier, newer.verifier)) as witness:
        await witness.look()
        text = Note.parse((log.folder / "checkpoint").read_bytes()).text
        (log.folder / "checkpoint").write_bytes(bytes(sign_note(text, [SIGNER, newer])))
        assert await witness.look() is UNCHANGED
        (log.folder / "checkpoint").write_bytes(bytes(sign_note(text, [newer])))
        assert await witness.look() is UNCHANGED


@pytest.mark.parametrize("harm", ["truncate", "flip", "remove"])
async def test_harmed_tiles_are_not_cosigned_but_prove_nothing_against_the_log(witness, log, harm):
    await witness.look()
    log.grow(700)
    path = log.folder / "tile/0/002.p/188"
    kept = path.read_bytes()
    data = bytearray(kept)
    data[70] ^= 1
    path.unlink() if harm == "remove" else path.write_bytes(data if harm == "flip" else kept[:-40])
    assert await witness.look() is DOUBTFUL
    assert await witness.look(STALE_S) is ALARM
    (evidence,) = witness.evidence()
    assert Evidence.parse(evidence.read_bytes()).charge is Charge.UNPROVEN
    path.write_bytes(kept)
    assert await witness.look() is COSIGNED


async def test_a_first_look_at_tiles_that_do_not_fit_cosigns_nothing(tmp_path, log):
    (log.folder / "tile/0/000").write_bytes(bytes(8192))
    (log.folder / "tile/1/000.p/1").write_bytes(bytes(32))
    async with bench(tmp_path / "w", log.folder) as witness:
        assert await witness.look() is DOUBTFUL
        assert not (witness.public / published_path(ORIGIN)).exists()


async def test_another_logs_checkpoint_is_refused(tmp_path, log):
    other = SignerKey.from_seed("everycent.test/donations/1", b"\x07" * 32)
    root = checkpoint_of(log.writer.log.note()).root  # the same leaves, even
    note = sign_note(Checkpoint(other.verifier.name, 300, root).text(), [other])
    (log.folder / "checkpoint").write_bytes(bytes(note))
    async with bench(tmp_path / "w", log.folder, keys=(SIGNER.verifier, other.verifier)) as witness:
        assert await witness.look() is DOUBTFUL
        assert not list(witness.public.glob("logs/*"))


async def test_a_clock_that_went_back_behind_the_last_cosignature_cosigns_nothing_and_is_told(witness, log):
    await witness.look()
    log.grow(400)
    for now_s in (NOW_S - 3_600, 0, EARLIEST_S - 1):
        witness.now_s = now_s
        with pytest.raises(ClockError, match="the clock is wrong"):
            await witness.look(0)
    assert checkpoint_of(published(witness)).size == 300
    witness.restart()
    with pytest.raises(ClockError):
        await witness.look(0)
    witness.now_s = NOW_S + 7  # a step of some seconds back; it had cosigned at NOW_S + 10
    assert await witness.look(0) is COSIGNED
    ((_, signature),) = published(witness).signed_by([W1.verifier])
    assert cosigned_at_s(signature) == NOW_S + 10


async def test_a_clock_that_was_never_set_is_refused_by_a_new_witness(witness):
    witness.now_s = 60
    with pytest.raises(ClockError, match="before this program"):
        await witness.look()


# A split view, shown to two witnesses


async def test_a_split_view_of_one_size_is_proven_by_the_first_of_two_witnesses_that_compare(tmp_path, log, liar):
    liar.grow(300)
    async with (
        bench(tmp_path / "w1", log.folder) as first,
        bench(tmp_path / "w2", liar.folder, W2, peers=[tmp_path / "w1/public"]) as second,
    ):
        assert await first.look() is COSIGNED
        assert await second.look() is ALARM
        assert proven(second) is Charge.TWO_TREES
        assert await second.look() is ALARM


@pytest.mark.parametrize("larger", ["the honest view", "the lying view"])
async def test_a_split_view_of_two_sizes_is_proven_whichever_witness_looks(tmp_path, log, liar, larger):
    """Who sees the larger tree proves it at once, who sees the smaller one when that has grown past the other."""
    liar.grow(300)
    grown, other = (log, liar) if larger == "the honest view" else (liar, log)
    grown.grow(450)
    async with (
        bench(tmp_path / "w1", grown.folder, W1, peers=[tmp_path / "w2/public"]) as ahead,
        bench(tmp_path / "w2", other.folder, W2, peers=[tmp_path / "w1/public"]) as behind,
    ):
        assert await behind.look() is COSIGNED
        assert await ahead.look() is ALARM
        assert proven(ahead) is Charge.REWRITTEN
        assert await behind.look() is UNCHANGED  # it may only be late
        other.grow(460)
        assert await behind.look() is ALARM
        assert proven(behind) is Charge.REWRITTEN


async def test_a_view_that_is_kept_smaller_than_others_is_an_alarm_after_a_while(tmp_path, log, liar):
    liar.grow(300)
    liar.grow(400)
    async with (
        bench(tmp_path / "w1", liar.folder) as other,
        bench(tmp_path / "w2", log.folder, W2, peers=[tmp_path / "w1/public"]) as kept_small,
    ):
        await other.look()
        assert await kept_small.look() is COSIGNED
        assert await kept_small.look(STALE_S + 1) is ALARM
        (path,) = kept_small.evidence()
        assert Evidence.parse(path.read_bytes()).charge is Charge.WITHHELD


async def test_two_witnesses_of_one_honest_log_agree_at_whatever_sizes_they_look(tmp_path, log):
    async with (
        bench(tmp_path / "w1", log.folder, W1, peers=[tmp_path / "w2/public"]) as first,
        bench(tmp_path / "w2", log.folder, W2, peers=[tmp_path / "w1/public"]) as second,
    ):
        for size in (301, 500, 512, 800, 1_100):
            assert await first.look() is COSIGNED
            log.grow(size)
            assert await second.look(STALE_S + 1) is COSIGNED
            assert await second.look() is UNCHANGED
        assert not first.evidence() + second.evidence()
