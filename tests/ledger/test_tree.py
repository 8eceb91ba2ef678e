"""RFC 6962 trees: the published vectors, the definition, and pymerkle as a second oracle."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymerkle import InmemoryTree, InvalidProof
from pymerkle import verify_consistency as pymerkle_consistency
from pymerkle import verify_inclusion as pymerkle_inclusion

from streams.ledger.tree import (
    EMPTY_ROOT,
    ProofError,
    complete_root,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    node_hash,
    tree_root,
    verify_consistency,
    verify_inclusion,
)
from tests.ledger.parts import root_by_definition

# The vectors that Certificate Transparency's implementations share (github.com/transparency-dev/merkle, testonly).
LEAVES = [bytes.fromhex(each) for each in (
    "", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f",
)]  # fmt: skip
ROOTS = [bytes.fromhex(each) for each in (
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)]  # fmt: skip
# Proofs published for the tree over LEAVES: (index, size, hashes) and (old, new, hashes).
INCLUSION = [
    (0, 1, []),
    (0, 8, [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ]),
    (5, 8, [
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ]),
    (2, 3, ["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"]),
    (1, 5, [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ]),
]  # fmt: skip
CONSISTENCY = [
    (1, 1, []),
    (1, 8, [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ]),
    (6, 8, [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ]),
    (2, 5, [
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ]),
]  # fmt: skip


def nodes(leaves):
    """Reads nodes of a tree that is all in memory."""
    hashes = [leaf_hash(leaf) for leaf in leaves]
    return lambda level, index: complete_root(b"".join(hashes[index << level : (index + 1) << level]))


@pytest.mark.parametrize("size", range(9))
def test_the_published_roots_come_out(size):
    assert tree_root(nodes(LEAVES), size) == ROOTS[size] == root_by_definition(LEAVES[:size])


@pytest.mark.parametrize(("index", "size", "hashes"), INCLUSION)
def test_the_published_inclusion_proofs_come_out_and_verify(index, size, hashes):
    proof = [bytes.fromhex(each) for each in hashes]
    assert inclusion_proof(nodes(LEAVES), index, size) == proof
    verify_inclusion(leaf_hash(LEAVES[index]), index, size, proof, ROOTS[size])


@pytest.mark.parametrize(("old", "new", "hashes"), CONSISTENCY)
def test_the_published_consistency_proofs_come_out_and_verify(old, new, hashes):
    proof = [bytes.fromhex(each) for each in hashes]
    assert consistency_proof(nodes(LEAVES), old, new) == proof
    verify_consistency(old, ROOTS[old], new, ROOTS[new], proof)


def test_every_proof_of_every_small_tree_verifies_and_pymerkle_makes_the_same():
    leaves = [f"leaf {number}".encode() for number in range(70)]
    read = nodes(leaves)
    second = InmemoryTree.init_from_entries(leaves)
    roots = [root_by_definition(leaves[:size]) for size in range(len(leaves) + 1)]
    for size in range(1, len(leaves) + 1):
        assert second.get_root(size) == roots[size] == tree_root(read, size)
        for index in range(size):
            proof = inclusion_proof(read, index, size)
            verify_inclusion(leaf_hash(leaves[index]), index, size, proof, roots[size])
            theirs = second.prove_inclusion(index + 1, size)
            pymerkle_inclusion(leaf_hash(leaves[index]), roots[size], theirs)
            assert set(proof) == set(theirs.path) - {leaf_hash(leaves[index])}
        for old in range(1, size + 1):
            proof = consistency_proof(read, old, size)
            verify_consistency(old, roots[old], size, roots[size], proof)
            pymerkle_consistency(roots[old], roots[size], second.prove_consistency(old, size))


HASHES = st.binary(min_size=32, max_size=32)


@given(size=st.integers(1, 600), data=st.data())
def test_a_proof_with_any_hash_changed_taken_out_or_added_is_refused(size, data):
    leaves = [bytes([number % 256, number // 256]) for number in range(size)]
    read, root = nodes(leaves), root_by_definition(leaves)
    index = data.draw(st.integers(0, size - 1))
    proof = inclusion_proof(read, index, size)
    at = data.draw(st.integers(0, len(proof)))
    changed = data.draw(st.sampled_from(["add", "drop", "flip", "index", "size", "leaf"]))
    leaf, claimed, claimed_size = leaf_hash(leaves[index]), index, size
    if changed == "add":
        proof.insert(at, data.draw(HASHES))
    elif changed == "leaf":
        leaf = node_hash(leaf, leaf)
    elif changed == "size":
        claimed_size += data.draw(st.integers(1, 5)) << len(proof)
    elif changed == "index":
        claimed = data.draw(st.integers(0, size - 1).filter(lambda other: other != index)) if size > 1 else 1
    elif proof:
        at = min(at, len(proof) - 1)
        proof[at : at + 1] = [] if changed == "drop" else [hashlib.sha256(proof[at]).digest()]
    else:
        leaf = EMPTY_ROOT
    with pytest.raises(ProofError):
        verify_inclusion(leaf, claimed, claimed_size, proof, root)


@given(new=st.integers(2, 600), data=st.data())
def test_a_tree_with_any_old_leaf_changed_is_not_consistent_with_it(new, data):
    old = data.draw(st.integers(1, new))
    leaves = [bytes([number % 256, number // 256]) for number in range(new)]
    old_root = root_by_definition(leaves[:old])
    at = data.draw(st.integers(0, old - 1))
    other = [*leaves[:at], b"another", *leaves[at + 1 :]]
    new_root = root_by_definition(other)
    with pytest.raises(ProofError):
        verify_consistency(old, old_root, new, new_root, consistency_proof(nodes(other), old, new))
    second = InmemoryTree.init_from_entries(other)
    with pytest.raises(InvalidProof):
        pymerkle_consistency(old_root, new_root, second.prove_consistency(old, new))


def test_a_tree_that_shrinks_or_has_no_such_leaf_has_no_proof():
    for prove in (lambda: inclusion_proof(nodes(LEAVES), 8, 8), lambda: consistency_proof(nodes(LEAVES), 8, 7)):
        with pytest.raises(ProofError):
            prove()
    with pytest.raises(ProofError):
        verify_consistency(8, ROOTS[8], 7, ROOTS[7], [])
    with pytest.raises(ProofError, match="different roots"):
        verify_consistency(8, ROOTS[8], 8, ROOTS[7], [])
    with pytest.raises(ProofError, match="must be empty"):
        verify_consistency(0, ROOTS[0], 8, ROOTS[8], [ROOTS[8]])


def test_a_proof_grows_by_a_hash_each_time_that_the_tree_doubles_up_to_ten_billion_leaves():
    """On a sparse tree whose leaves are all alike, so that each level has one hash."""
    levels = [leaf_hash(b"x")]
    for _ in range(40):
        levels.append(node_hash(levels[-1], levels[-1]))
    lengths = {}
    for size in (10**2, 10**4, 10**6, 10**8, 10**10):
        read = lambda level, _index: levels[level]  # noqa: E731
        root = tree_root(read, size)
        proof = inclusion_proof(read, size // 3, size)
        verify_inclusion(levels[0], size // 3, size, proof, root)
        verify_consistency(size // 2, tree_root(read, size // 2), size, root, consistency_proof(read, size // 2, size))
        lengths[size] = len(proof)
    assert all(length <= size.bit_length() for size, length in lengths.items())
    assert lengths[10**10] == 34
