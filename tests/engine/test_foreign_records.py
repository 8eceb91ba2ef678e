"""What no worker writes, on topics that only workers write: one line that says where, and exit status 3."""

import pytest
from aiokafka import ConsumerRecord

from streams.agents.split_orders import split_stage
from streams.agents.total_projects import totals_stage
from streams.errors import ExitStatus, UserError
from streams.native import extension
from streams.settings import Settings
from tests.native.batches import packed
from tests.native.logs import FakeLog

TOTAL = (
    b'{"project_id":"P1","window":"all","start_ms":0,"end_ms":null,"start":null,"fen":5,"donations":1,"late_fen":0,'
    b'"watermark_ms":0,"final":false,"revision":1}'
)
POSITION = ("source-position", b"7")
DELTA = b'{"minutes":[[60000,5,1]]}'
GARBAGE_DELTAS = {
    "no JSON": (b"P1", b"garbage"),
    "no sums": (b"P1", b'{"minutes":7}'),
    "a key of odd bytes": (b"\xff", DELTA),
    "no watermark": (None, b"garbage"),
    "a tombstone": (b"P1", None),
}
GARBAGE_TOTALS = {
    "no JSON": (b"P1|all|0", b"garbage", [POSITION]),
    "no total": (b"P1|all|0", b"{}", [POSITION]),
    "a tombstone of no key": (b"P1", None, [POSITION]),
    "no header": (b"P1|all|0", TOTAL, []),
    "a header of no number": (b"P1|all|0", TOTAL, [("source-position", b"seven")]),
}


@pytest.fixture(params=[False, pytest.param(True, marks=pytest.mark.skipif(extension is None, reason="no extension"))])
def settings(request):
    return Settings().model_copy(update={"native": request.param})


def told(error):
    assert error.value.exit_status is ExitStatus.FAILED
    assert "\n" not in str(error.value)
    return str(error.value)


def delta(offset, key, value):
    return ConsumerRecord("project-deltas", 3, offset, 5, 0, key, value, None, 0, 0, ())


@pytest.mark.parametrize("what", GARBAGE_DELTAS)
def test_garbage_among_partial_sums_is_named_by_its_offset(settings, what):
    processor = totals_stage(settings, 8).open_partition(3)
    records = [delta(10, b"P1", DELTA), delta(11, *GARBAGE_DELTAS[what]), delta(12, b"P2", DELTA)]
    with pytest.raises(UserError) as error:
        processor.fold(packed(records) if settings.native else records)
    assert told(error).startswith("project-deltas-3 offset 11 holds what no worker writes: ")


@pytest.mark.parametrize("what", GARBAGE_TOTALS)
async def test_garbage_among_totals_ends_the_restore_and_is_named_by_its_offset(settings, what):
    log = FakeLog()
    key, value, headers = GARBAGE_TOTALS[what]
    log.write({("project-totals", 3): [(b"P1|all|0", TOTAL, None, [POSITION]), (key, value, None, headers)]})
    processor = totals_stage(settings, 8).open_partition(3)
    with pytest.raises(UserError) as error:
        await processor.restore(log, "")
    assert told(error).startswith("project-totals-3 offset 1 holds what no worker writes: ")


@pytest.mark.parametrize(
    ("topic", "value"), [("donations", b"garbage"), ("donations", None), ("rejected-orders", b"garbage")]
)
async def test_garbage_among_donations_and_refused_orders_ends_the_restore(settings, topic, value):
    log = FakeLog()
    log.write({(topic, 3): [(b"b", value, None, [])]})
    processor = split_stage(settings, 8).open_partition(3)
    with pytest.raises(UserError) as error:
        await processor.restore(log, "")
    assert told(error).startswith(f"{topic}-3 offset 0 holds what no worker writes: ")
