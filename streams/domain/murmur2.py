"""Kafka's default partitioner for many keys at once: murmur2 of the key's bytes, as in Java's clients and aiokafka.

Whoever else writes or reads by key must find it on the same partition, so this follows
`org.apache.kafka.common.utils.Utils.murmur2` to the bit. Nothing is kept between calls.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_SEED = 0x9747B28C
_M = np.uint32(0x5BD1E995)
_R = np.uint32(24)
_POSITIVE = np.uint32(0x7FFFFFFF)  # Java has no unsigned integers: the partitioner masks the sign away
_LONGEST_KEY_BYTES = 1_024  # every key is padded to the longest of its call: one huge key must not cost gigabytes


def murmur2(keys: Sequence[bytes]) -> NDArray[np.uint32]:
    """The hash of each key. Raises ValueError for a key of more than 1,024 bytes."""
    lengths = np.fromiter(map(len, keys), dtype=np.int64, count=len(keys))
    longest = int(lengths.max(initial=0))
    if longest > _LONGEST_KEY_BYTES:
        raise ValueError(f"a key of {longest} bytes; at most {_LONGEST_KEY_BYTES} can be hashed here")
    width = max(4, (longest + 3) // 4 * 4)
    padded = np.array(keys, dtype=f"S{width}")  # zero bytes fill each key up, and the tail below relies on that
    words = padded.view("<u4").reshape(len(keys), width // 4)
    hashes = np.empty(len(keys), dtype=np.uint32)
    for length in np.unique(lengths).tolist():
        rows = np.flatnonzero(lengths == length)
        hashes[rows] = _hash_rows(words[rows], length)
    return hashes


def partitions_of(keys: Sequence[bytes], partition_count: int) -> NDArray[np.int64]:
    """The partition (0 to `partition_count` - 1) that Kafka's default partitioner gives each key."""
    return (murmur2(keys) & _POSITIVE).astype(np.int64) % partition_count


def _hash_rows(words: NDArray[np.uint32], length: int) -> NDArray[np.uint32]:
    """murmur2 of rows that all have `length` bytes, given as little-endian words padded with zero bytes."""
    hashed = np.full(len(words), (_SEED ^ length) & 0xFFFFFFFF, dtype=np.uint32)
    whole = length // 4
    for column in range(whole):
        k = words[:, column] * _M
        k ^= k >> _R
        k *= _M
        hashed *= _M
        hashed ^= k
    if length % 4:
        hashed ^= words[:, whole]
        hashed *= _M
    hashed ^= hashed >> np.uint32(13)
    hashed *= _M
    hashed ^= hashed >> np.uint32(15)
    return hashed
