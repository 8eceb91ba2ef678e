"""How state is read back into the extension: beside the event loop, and with errors that a task knows."""

import asyncio

import pytest
from aiokafka.errors import CorruptRecordException

from streams.agents.natively import restore_natively
from streams.engine.packed import PackedRecords
from tests.domain.orders import OrderRecord
from tests.native.batches import CODECS, ORDERS_0, pack
from tests.native.logs import encode_batch
from tests.native.test_freed import OPEN

DONATION = (
    b'{"donation_id":"o%d:0","seq":0,"order_id":"o%d","line":0,"buyer_id":"b","merchant_id":"m","item_id":"i",'
    b'"project_id":"p","fen":2,"donated_at":1600000000000,"source_offset":%d}'
)


@pytest.mark.parametrize("stage", OPEN)
async def test_damaged_bytes_of_its_own_output_are_an_error_that_a_task_starts_again_after(stage: str) -> None:
    processor = OPEN[stage]()
    folder = processor._splitter if stage == "split" else processor._totals
    data = encode_batch([OrderRecord(0, 1, b"k", b"v")], 0, 0, codec=CODECS["none"])
    packed = PackedRecords(ORDERS_0, data, [], 0)
    packed.data = data[:-1] + bytes([data[-1] ^ 1])
    with pytest.raises(CorruptRecordException, match="checksum"):
        await restore_natively(folder, packed)


async def test_the_event_loop_turns_while_state_is_read_back() -> None:
    splitter = OPEN["split"]()._splitter
    donations = [OrderRecord(number, 1, b"k", DONATION % (number, number, number)) for number in range(100_000)]
    packed = PackedRecords(ORDERS_0, pack(donations, "zstd", 1_000), [], 0)
    restoring = asyncio.create_task(restore_natively(splitter, packed))
    turns = 0
    while not restoring.done():
        await asyncio.sleep(0)
        turns += 1
    await restoring
    splitter.finish_restore(100_000)
    assert splitter.ids == 100_000
    assert turns > 10
