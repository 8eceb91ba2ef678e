"""The witness's judgement: every growth is consistent, every lie is proven by the log's own signatures."""

import random

import pytest

from streams.ledger.checkpoint import Checkpoint
from streams.ledger.evidence import Charge, Evidence, EvidenceError, check_evidence, make_evidence
from streams.ledger.notes import Note, SignerKey, encode_base64, sign_note
from streams.ledger.published import MissingFileError, PublishedLog
from streams.ledger.tiles import TILE_WIDTH, tiles_at
from streams.ledger.tree import (
    HASH_BYTES,
    ProofError,
    consistency_proof,
    growth_proof,
    roots_of_growth,
    tree_root,
    verify_consistency,
)
from streams.ledger.witnessing import ForeignKeyError, Verdict, check_tiles, compare, open_checkpoint, tiles_to_compare
from streams.ledger_service.files import folder_fetch
from tests.ledger.parts import ORIGIN, SIGNER, publish, writer
from tests.ledger.witness_parts import NOW_S, W1, GrowingLog

SIZE = 1_030
LIE_AT = 400
SIZES = sorted({1, 2, 3, 255, 256, 257, 400, 401, 511, 512, 513, 1_024, SIZE})


@pytest.fixture(scope="module")
def honest(tmp_path_factory):
    return GrowingLog(tmp_path_factory.mktemp("honest")).grow(SIZE)


@pytest.fixture(scope="module")
def liar(tmp_path_factory):
    return GrowingLog(tmp_path_factory.mktemp("liar"), LIE_AT).grow(SIZE)


def nodes(log):
    return log.writer.log.nodes(SIZE)


def at(log, size: int) -> Checkpoint:
    return Checkpoint(ORIGIN, size, tree_root(nodes(log), size))


def reader(log, asked):
    """Only of what `asked` names: a witness fetches no more than that. As if each size had been published."""
    published = PublishedLog(folder_fetch(log.folder))

    def read(tile):
        if tile not in asked:
            raise MissingFileError(str(tile))
        full, partial = tiles_at(tile.level, SIZE)
        there = tile._replace(width=TILE_WIDTH if tile.number < full else partial)
        return published.tile(there)[: tile.width * HASH_BYTES]

    return read


def compared(log, one: Checkpoint, other: Checkpoint):
    return compare(one, other, reader(log, tiles_to_compare(one.size, other.size)))


def test_a_growth_proof_gives_both_roots_and_is_a_consistency_proof_but_for_a_whole_old_tree(honest):
    for new in SIZES[1:]:
        for old in (size for size in SIZES if size < new):
            proof = growth_proof(nodes(honest), old, new)
            assert roots_of_growth(old, new, proof) == (at(honest, old).root, at(honest, new).root)
            usual = consistency_proof(nodes(honest), old, new)
            assert proof == ([at(honest, old).root, *usual] if old & (old - 1) == 0 else usual)
            verify_consistency(old, at(honest, old).root, new, at(honest, new).root, usual)


@pytest.mark.parametrize(("old", "new"), [(0, 5), (5, 5), (6, 5)])
def test_there_is_no_growth_proof_where_nothing_grew(honest, old, new):
    with pytest.raises(ProofError):
        growth_proof(nodes(honest), old, new)
    with pytest.raises(ProofError):
        roots_of_growth(old, new, [bytes(32)])


def test_each_size_is_consistent_with_each_later_one_by_the_tiles_of_the_later_alone(honest):
    for new in SIZES:
        for old in SIZES:
            assert compared(honest, at(honest, old), at(honest, new)).verdict is Verdict.CONSISTENT, (old, new)
        empty = Checkpoint(ORIGIN, 0, tree_root(nodes(honest), 0))
        assert compared(honest, empty, at(honest, new)).verdict is Verdict.CONSISTENT
        assert len(tiles_to_compare(1, new)) <= 2 + new.bit_length()


def test_a_leaf_that_was_changed_is_a_contradiction_from_that_leaf_on_and_never_before(honest, liar):
    for new in SIZES:
        for old in SIZES:
            found = compared(liar, at(honest, old), at(liar, new)).verdict
            honest_until_then = min(old, new) <= LIE_AT
            if old <= new:
                wanted = Verdict.CONSISTENT if honest_until_then else Verdict.CONTRADICTION
            else:  # the larger one is the honest log's, and the liar's tiles don't give its root
                wanted = Verdict.CONSISTENT if old <= LIE_AT else Verdict.UNPROVEN
            assert found is wanted, (old, new)


def test_a_look_at_a_log_of_ten_billion_leaves_takes_five_tiles():
    chance = random.Random(7)
    for size in (10**5, 10**6, 10**8, 10**10):
        for _ in range(500):
            assert len(tiles_to_compare(size - chance.randrange(1, 50_000), size)) <= 5


def zeroed(log, asked, harmed):
    """One tile holds zeroes."""
    read = reader(log, asked)
    return lambda tile: bytes(tile.width * HASH_BYTES) if tile == harmed else read(tile)


def test_tiles_that_were_changed_or_left_out_prove_nothing_against_a_log(honest):
    for old, new in ((257, SIZE), (512, 513), (1, 256)):
        asked = tiles_to_compare(old, new)
        for harmed in asked:
            for read in (zeroed(honest, asked, harmed), reader(honest, set(asked) - {harmed})):
                found = compare(at(honest, old), at(honest, new), read)
                assert found.verdict is Verdict.UNPROVEN
                assert found.why


def test_a_first_look_asks_that_the_tiles_give_the_root(honest, liar):
    asked = tiles_to_compare(0, SIZE)
    assert check_tiles(at(honest, SIZE), reader(honest, asked)).verdict is Verdict.CONSISTENT
    assert check_tiles(at(honest, SIZE), reader(liar, asked)).verdict is Verdict.UNPROVEN
    assert check_tiles(at(honest, SIZE), reader(honest, asked[1:])).verdict is Verdict.UNPROVEN


def test_only_a_key_of_the_logs_own_name_opens_a_checkpoint(honest):
    note = honest.writer.log.note()
    assert open_checkpoint(note, [SIGNER.verifier]) == at(honest, SIZE)
    other_log = SignerKey.from_seed("everycent.test/donations/1", b"\x07" * 32)
    swapped = SignerKey.from_seed(ORIGIN, b"\x08" * 32)
    with pytest.raises(ForeignKeyError):
        open_checkpoint(note, [swapped.verifier, W1.verifier])
    with pytest.raises(ForeignKeyError):
        open_checkpoint(sign_note(note.text, [other_log]), [other_log.verifier, SIGNER.verifier])


def charge(log, one: Checkpoint, other: Checkpoint, what: Charge, **more) -> Evidence:
    comparison = compared(log, one, other)
    small, large = sorted((one, other), key=lambda each: each.size)
    notes = [(sign_note(each.text(), [SIGNER]), where) for each, where in ((small, "here"), (large, "there"))]
    proof = more.get("proof", comparison.proof)
    return make_evidence(what, notes[0], notes[1], proof, (str(W1.verifier), NOW_S))


def test_evidence_of_a_rewritten_log_and_of_two_trees_is_proven_from_the_file_alone(honest, liar):
    seed = random.SystemRandom().randrange(10**6)
    print(f"seed {seed}")
    chance = random.Random(seed)
    for _ in range(20):
        old = chance.randrange(LIE_AT + 1, SIZE)
        new = chance.randrange(old + 1, SIZE + 1)
        evidence = Evidence.parse(bytes(charge(liar, at(honest, old), at(liar, new), Charge.REWRITTEN)))
        finding = check_evidence(evidence, [SIGNER.verifier])
        assert finding.proven, (old, new)
        assert "the log was rewritten" in finding.text
        twins = charge(liar, at(honest, old), at(liar, old), Charge.TWO_TREES)
        assert check_evidence(twins, [SIGNER.verifier]).proven


def test_nobody_can_make_up_evidence_against_an_honest_log(honest, liar):
    """By its signed checkpoints and whatever hashes: none of them proves anything."""
    pairs = [(old, new) for old in SIZES for new in SIZES if old <= new]
    for old, new in pairs:
        found = check_evidence(charge(honest, at(honest, old), at(honest, new), Charge.REWRITTEN), [SIGNER.verifier])
        assert not found.proven
    lying = compared(liar, at(honest, 512), at(liar, SIZE)).proof
    for proof in (lying, lying[::-1], lying[1:], (bytes(32),), ()):
        made_up = charge(honest, at(honest, 512), at(honest, SIZE), Charge.REWRITTEN, proof=proof)
        assert not check_evidence(made_up, [SIGNER.verifier]).proven
    forged = charge(honest, at(honest, 512), at(honest, SIZE), Charge.TWO_TREES)
    other = sign_note(at(liar, 512).text(), [SignerKey.from_seed(ORIGIN, b"\x09" * 32)])
    for name in ("first", "second"):
        fields = {field: getattr(forged, field) for field in forged.__struct_fields__}
        with pytest.raises(EvidenceError, match="no evidence against the log"):
            check_evidence(Evidence(**{**fields, name: bytes(other).decode()}), [SIGNER.verifier])


def test_every_byte_changed_in_the_evidence_takes_the_proof_away_or_changes_only_what_is_said_beside_it(honest, liar):
    evidence = charge(liar, at(honest, 500), at(liar, SIZE), Charge.REWRITTEN)
    data = bytes(evidence)
    beside = ("charge", "found_at_s", "found_by", "first_from", "second_from")
    for place in range(len(data)):
        harmed = bytearray(data)
        harmed[place] ^= 1
        try:
            found = Evidence.parse(bytes(harmed))
            proven = check_evidence(found, [SIGNER.verifier]).proven
        except EvidenceError:
            continue
        if proven:
            same = {name: getattr(found, name) for name in found.__struct_fields__ if name not in beside}
            assert same == {name: getattr(evidence, name) for name in same}


def test_a_rollback_is_a_witnesss_word_and_said_to_be_no_more(honest):
    evidence = charge(honest, at(honest, 300), at(honest, SIZE), Charge.ROLLED_BACK, proof=())
    finding = check_evidence(evidence, [SIGNER.verifier])
    assert not finding.proven
    assert "the witness says: rolled-back" in finding.text


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b'{"format":"x"}', b"x" * 5_000_000])
def test_what_is_no_evidence_is_told_so(data):
    with pytest.raises(EvidenceError):
        Evidence.parse(data)


def test_a_signed_empty_tree_with_a_root_is_a_contradiction(tmp_path):
    log = writer(tmp_path)
    log.open()
    note = publish(log)
    empty = open_checkpoint(note, [SIGNER.verifier])
    wrong = Checkpoint(ORIGIN, 0, bytes(32))
    assert compare(empty, wrong, lambda _: b"").verdict is Verdict.CONTRADICTION
    twins = make_evidence(Charge.TWO_TREES, (note, ""), (sign_note(wrong.text(), [SIGNER]), ""), (), ("", 0))
    assert check_evidence(twins, [SIGNER.verifier]).proven
    assert Note.parse(twins.first.encode()) == note
    assert encode_base64(empty.root) in twins.first
