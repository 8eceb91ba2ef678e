import random

import pytest
from aiokafka.partitioner import DefaultPartitioner
from aiokafka.partitioner import murmur2 as aiokafka_murmur2

from streams.domain.murmur2 import murmur2, partitions_of


def test_hashes_are_those_of_aiokafka_for_keys_of_every_length_and_byte():
    seed = random.randrange(2**32)
    source = random.Random(seed)
    keys = [source.randbytes(length) for length in range(70) for _ in range(20)]
    keys += [b"\0", b"\0\0\0\0", b"a\0\0", b"\xff" * 5, b"b480000000", b"b1", b""]
    assert murmur2(keys).tolist() == [aiokafka_murmur2(key) for key in keys], f"seed {seed}"


def test_hashes_are_those_that_apache_kafka_publishes():
    # UtilsTest.testMurmur2 of Apache Kafka; its hashes are signed there.
    known = {
        b"21": -973932308,
        b"foobar": -790332482,
        b"a-little-bit-long-string": -985981536,
        b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    }
    assert murmur2(list(known)).tolist() == [signed & 0xFFFFFFFF for signed in known.values()]


@pytest.mark.parametrize("partition_count", [1, 3, 8, 64])
def test_partitions_are_those_of_the_default_partitioner(partition_count):
    keys = [b"b%d" % number for number in range(1, 480_000_000, 480_271)]
    every = list(range(partition_count))
    expected = [DefaultPartitioner()(key, every, every) for key in keys]
    assert partitions_of(keys, partition_count).tolist() == expected
    assert set(expected) == set(every)


def test_no_keys_have_no_hashes():
    assert murmur2([]).tolist() == []


def test_a_huge_key_is_refused_before_the_others_are_padded_to_it():
    with pytest.raises(ValueError, match="1025 bytes"):
        murmur2([b"b1", b"x" * 1_025])
