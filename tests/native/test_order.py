"""What Rust takes without asking Python is what `decode_order` gives, and it takes all that today's sources send."""

from itertools import cycle, permutations
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import limits
from schemas.order import FixedPledge, OrderCompleted, OrderLine, RatePledge, decode_order, encode_order
from streams.domain.load import LoadPlan, make_chunks
from streams.native import extension
from streams.settings import Settings
from tests.domain.orders import SOME_DAY_MS, OrderRecord
from tests.native.batches import pack
from tests.native.folds import SplitPair
from tests.native.reading import any_splitter

ORDER = (
    b'{"order_id":"o1","buyer_id":"b1","merchant_id":"m1","completed_at":1605024000000,"lines":['
    b'{"line":0,"item_id":"i1","paid_fen":500,"pledge":{"kind":"fixed","project_id":"P1","fen":2}},'
    b'{"line":1,"item_id":"i2","paid_fen":500,"pledge":{"kind":"rate","project_id":"P2","bps":30}},'
    b'{"line":2,"item_id":"i3","paid_fen":500,"pledge":null},{"line":3,"item_id":"i4","paid_fen":500}]}'
)
NUMBERS = [
    *(b"-0", b"0", b"-1", b"00", b"01", b"+1", b"1.0", b"2.0", b"1e0", b"1e3", b"1E3", b"1e-1", b"2.5", b".5", b"1."),
    *(b"1e400", b"18446744073709551615", b"18446744073709551616", b"9223372036854775808", b"9" * 400, b"0x1", b"1_0"),
    *(b"NaN", b"Infinity", b"-Infinity", b"true", b"null", b'"1"', b"[]", b"[1]", b"{}", b"", b"1 1", b"--1", b"1,"),
]
PLACES = [
    b'"line":0',
    b'"completed_at":1605024000000',
    b'"paid_fen":500,"pledge":{"kind":"fixed"',
    b'"fen":2',
    b'"bps":30',
]
IDS = [b'"o1"', b'"b1"', b'"m1"', b'"i1"', b'"P1"', b'"P2"', b'"i3"', b'"i4"', b'"fixed"', b'"rate"']
TEXTS = [
    *(b'""', b'" "', b'"x"', b'"%b"' % (b"x" * 64), b'"%b"' % (b"x" * 65), b'"|"', b'"a|b"', b'"\x7f"', b'"a\x7f"'),
    *(rb'"\u0061"', rb'"\n"', rb'"\\"', rb'"\""', rb'"\/"', b'"\n"', b'"\t"', b'"\x00"', b'"\x1f"', b'"\xc3\xa9"'),
    *('"é"'.encode() * 1, f'"{"é" * 64}"'.encode(), f'"{"é" * 65}"'.encode(), b'"\xff"', b'"\xc2\x80"', b"'x'", b"x"),
    *(b"null", b"1", b"[]", b'["x"]', b"{}", b'{"x":1}', b"", b'"', b'"fixed"', b'"rate"', b'"FIXED"', b'"fixed "'),
]
AROUND = [
    b"",
    b" ",
    b"\n\r\t ",
    b"\x0b",
    b"\x0c",
    b"\x00",
    b"\xef\xbb\xbf",
    b"\xc2\xa0",
    b"x",
    b"{}",
    b"null",
    b",",
    b"/**/",
]
WHOLE = [
    (b'{"line":0,"item_id":"i1","paid_fen":500,', b'{"line":0,"item_id":"i1","paid_fen":500,"x":[{"y":null}],'),
    (b'{"kind":"fixed","project_id":"P1","fen":2}', b'["fixed","P1",2,null]'),
    (b'{"kind":"fixed","project_id":"P1","fen":2}', b'["fixed","P1",2]'),
    (b'{"kind":"fixed","project_id":"P1","fen":2}', b'{"fixed":{"project_id":"P1","fen":2}}'),
    (b'{"kind":"fixed","project_id":"P1","fen":2}', b'{"project_id":"P1","fen":2}'),
    (b'{"kind":"fixed","project_id":"P1","fen":2}', b'{"fen":2,"project_id":"P1","kind":"fixed"}'),
    (b'"fen":2', b'"fen":2,"bps":30'),
    (b'"fen":2', b'"fen":2,"bps":null'),
    (b'"fen":2', b'"fen":2,"bps":"x"'),
    (b'"fen":2', b'"fen":2,"bps":0'),
    (b'"bps":30', b'"bps":30,"fen":null'),
    (b'"bps":30', b'"bps":30,"fen":5'),
    (b'"kind":"fixed"', b'"kind":"rate","bps":1'),
    (b'"pledge":null', b'"pledge":null,"pledge":null'),
    (b'"pledge":null', b'"pledge":[]'),
    (b'"pledge":null', b'"pledge":false'),
    (b'"line":3', b'"line":2'),
    (b'"line":3', b'"line":0'),
    (b'{"line":3,"item_id":"i4","paid_fen":500}', b'[3,"i4",500,null]'),
    (b'{"line":3,"item_id":"i4","paid_fen":500}', b'[3,"i4",500]'),
    (b'{"line":3,"item_id":"i4","paid_fen":500}', b"null"),
    (b',{"line":3,"item_id":"i4","paid_fen":500}', b","),
    (b'"order_id":"o1"', b'"order_id":"o1","order_id":"o1"'),
    (b'"order_id":"o1"', b'"ORDER_ID":"o1"'),
    (b'"order_id":"o1",', b""),
    (b'"order_id":"o1",', b'"order_id":"o1","unknown":"|",'),
    (b'"order_id":"o1",', b'"order_id":"o1","0":0,'),
    (b'"order_id":"o1",', b'"order_id":"o1",,'),
    (b'"merchant_id"', b'"merchant\\u005fid"'),
]


def judged_alike(value: bytes | None, key: bytes | None = b"b1") -> None:
    """As it is, and with a space before it, with which Rust never takes it for a compact order."""
    for form in (value, value and b" " + value):
        pair = SplitPair(Settings())
        pair.fold([OrderRecord(5, limits.EVENT_TIME_MAX_MS, key, form)])
        pair.commit()


def readings(*values: bytes) -> tuple[int, int, int]:
    """How many of them Rust reads as compact orders and as plain ones, and how many are Python's."""
    records = [OrderRecord(at, SOME_DAY_MS, b"b1", value) for at, value in enumerate(values)]
    return extension.readings(pack(records), [], 0)


def taken_without_asking(order: OrderCompleted, value: bytes | None = None) -> bool:
    """True if Rust read it by itself. What it makes of it must be what Python makes."""
    value = encode_order(order) if value is None else value
    key = order.buyer_id.encode()
    asked: list[Any] = []

    def judge(key: bytes | None, value: bytes | None) -> Any:
        asked.append(value)
        return decode_order(key, value)

    splitter = any_splitter(judge=judge)
    splitter.fold_record(5, limits.EVENT_TIME_MAX_MS, key, value)
    judged_alike(value, key)
    return not asked


def an_order(**changed: Any) -> OrderCompleted:
    return msgspec.structs.replace(msgspec.json.decode(ORDER, type=OrderCompleted), **changed)


def a_line(**changed: Any) -> OrderCompleted:
    line = OrderLine(0, "i1", 500, FixedPledge("P1", 2))
    return an_order(lines=(msgspec.structs.replace(line, **changed),))


@pytest.mark.parametrize("place", PLACES)
def test_any_number_in_any_place_is_judged_alike(place):
    assert ORDER.count(place) == 1
    name, colon, rest = place.partition(b":")
    old = rest.partition(b",")[0]
    for number in NUMBERS:
        judged_alike(ORDER.replace(place, name + colon + number + rest[len(old) :]))


@pytest.mark.parametrize("place", IDS)
def test_any_text_in_any_place_is_judged_alike(place):
    for text in TEXTS:
        key = text.strip(b'"') if place == b'"b1"' else b"b1"
        judged_alike(ORDER.replace(place, text), key)


@pytest.mark.parametrize(("written", "instead"), WHOLE)
def test_any_other_shape_is_judged_alike(written, instead):
    assert written in ORDER
    judged_alike(ORDER.replace(written, instead, 1))


@pytest.mark.parametrize("around", AROUND)
def test_anything_around_an_order_is_judged_alike(around):
    for value in (around + ORDER, ORDER + around, around, ORDER.replace(b":", b":" + around)):
        judged_alike(value)
    judged_alike(ORDER.replace(b",", around + b"," + around))


@pytest.mark.parametrize("key", [None, b"", b"b", b"b2", b"B1", b"b1 ", b"\xff"])
def test_a_wrong_key_is_refused_alike(key):
    judged_alike(ORDER, key)


@pytest.mark.parametrize("value", [None, b"", b"[]", b"null", b"[%b]" % ORDER, b'["o1","b1","m1",1605024000000,[]]'])
def test_what_is_no_object_is_refused_alike(value):
    judged_alike(value)


def test_what_sources_send_is_taken_without_asking():
    assert taken_without_asking(an_order())
    assert taken_without_asking(an_order(), ORDER.replace(b",", b" ,\n\t").replace(b":", b" :\r "))


def test_an_order_without_white_space_is_compact_whatever_the_order_of_its_fields():
    order = [b'"order_id":"o1"', b'"buyer_id":"b1"', b'"merchant_id":"m1"', b'"completed_at":1605024000000', b"LINES"]
    line = [b'"line":0', b'"item_id":"i1"', b'"paid_fen":500', b"PLEDGE"]
    pledge = [b'"kind":"rate"', b'"project_id":"P1"', b'"bps":30']

    def every(fields: list[bytes]) -> list[bytes]:
        return [b"{%b}" % b",".join(drawn) for drawn in permutations(fields)]

    for order_text, line_text, pledge_text in zip(every(order), cycle(every(line)), cycle(every(pledge)), strict=False):
        lines = b'"lines":[%b]' % line_text.replace(b"PLEDGE", b'"pledge":' + pledge_text)
        value = order_text.replace(b"LINES", lines)
        assert readings(value) == (1, 0, 0)
        judged_alike(value)


def test_all_that_the_simulation_sends_is_compact():
    [chunk] = make_chunks(LoadPlan(5_000, unpledged_share=0.2))
    records = [
        OrderRecord(at, SOME_DAY_MS, *each) for at, each in enumerate(zip(chunk.keys, chunk.values, strict=True))
    ]
    assert extension.readings(pack(records), [], 0) == (5_000, 0, 0)


def test_what_is_not_compact_is_still_read_without_asking():
    spaced = msgspec.json.format(ORDER)
    escaped = ORDER.replace(b'"m1"', b'"m\\u0031"')
    assert readings(ORDER, spaced, ORDER + b" ", escaped) == (1, 2, 1)


ID_FIELDS = ["order_id", "buyer_id", "merchant_id"]


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        *[({name: "x" * limits.ID_MAX_CHARACTERS}, {name: "x" * (limits.ID_MAX_CHARACTERS + 1)}) for name in ID_FIELDS],
        *[({name: "x"}, {name: ""}) for name in ID_FIELDS],
        ({"completed_at": limits.EVENT_TIME_MIN_MS}, {"completed_at": limits.EVENT_TIME_MIN_MS - 1}),
        ({"completed_at": limits.EVENT_TIME_MAX_MS}, {"completed_at": limits.EVENT_TIME_MAX_MS + 1}),
        *[
            (
                {"lines": tuple(OrderLine(n, "i", 1) for n in range(a))},
                {"lines": tuple(OrderLine(n, "i", 1) for n in range(b))},
            )
            for a, b in ((1, 0), (limits.LINES_MAX, limits.LINES_MAX + 1))
        ],
    ],
)
def test_the_limits_of_an_order_are_those_of_the_contract(right, wrong):
    assert taken_without_asking(an_order(**right))
    assert not taken_without_asking(an_order(**wrong))


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ({"line": 0}, {"line": -1}),
        ({"line": limits.LINE_NUMBER_MAX}, {"line": limits.LINE_NUMBER_MAX + 1}),
        ({"item_id": "x" * limits.ID_MAX_CHARACTERS}, {"item_id": "x" * (limits.ID_MAX_CHARACTERS + 1)}),
        ({"paid_fen": 1}, {"paid_fen": 0}),
        ({"paid_fen": limits.PAID_FEN_MAX}, {"paid_fen": limits.PAID_FEN_MAX + 1}),
        ({"pledge": FixedPledge("P", 1)}, {"pledge": FixedPledge("P", 0)}),
        ({"pledge": FixedPledge("P", limits.PAID_FEN_MAX)}, {"pledge": FixedPledge("P", limits.PAID_FEN_MAX + 1)}),
        ({"pledge": RatePledge("P", 1)}, {"pledge": RatePledge("P", 0)}),
        ({"pledge": RatePledge("P", limits.RATE_BPS_MAX)}, {"pledge": RatePledge("P", limits.RATE_BPS_MAX + 1)}),
        ({"pledge": RatePledge("x" * 64, 1)}, {"pledge": RatePledge("x" * 65, 1)}),
        ({"pledge": RatePledge("x", 1)}, {"pledge": RatePledge("", 1)}),
    ],
)
def test_the_limits_of_a_line_are_those_of_the_contract(right, wrong):
    assert taken_without_asking(a_line(**right))
    assert not taken_without_asking(a_line(**wrong))


def test_the_limit_of_an_orders_size_is_that_of_the_contract():
    padding = b" " * (limits.ORDER_MAX_BYTES - len(ORDER))
    assert taken_without_asking(an_order(), ORDER + padding)
    assert not taken_without_asking(an_order(), ORDER + padding + b" ")


@pytest.mark.parametrize("nested", [limits.NESTING_MAX - 1, limits.NESTING_MAX, 100_000])
def test_nesting_is_judged_alike(nested):
    judged_alike(ORDER.replace(b'"order_id"', b'"x":' + b"[" * nested + b"]" * nested + b',"order_id"'))
    judged_alike(b"[" * nested)


def test_the_tolerance_of_the_future_is_that_of_the_contract():
    for ahead_ms, taken in ((limits.FUTURE_TOLERANCE_MS, 1), (limits.FUTURE_TOLERANCE_MS + 1, 0)):
        splitter = any_splitter(judge=decode_order)
        splitter.fold_record(0, SOME_DAY_MS - ahead_ms, b"b1", ORDER)
        assert splitter.take_counts()[0] == taken


@given(st.integers(1, limits.PAID_FEN_MAX), st.integers(1, limits.RATE_BPS_MAX), st.integers(1, limits.PAID_FEN_MAX))
def test_what_a_line_donates_is_the_rules(paid_fen, bps, fen):
    lines = (OrderLine(0, "i", paid_fen, RatePledge("P1", bps)), OrderLine(1, "i", paid_fen, FixedPledge("P1", fen)))
    assert taken_without_asking(an_order(lines=lines))


ANY_TEXT = st.one_of(st.text(max_size=66), st.sampled_from(['"', "\\", 'a\\"b', "\u2028", "😀" * 64, "\x7f", "|"]))


@settings(max_examples=300)
@given(ANY_TEXT, ANY_TEXT, ANY_TEXT)
def test_ids_of_any_characters_are_judged_and_written_alike(order_id, buyer_id, project_id):
    lines = (OrderLine(0, order_id[:3], 5, FixedPledge(project_id, 2)),)
    order = an_order(order_id=order_id, buyer_id=buyer_id, merchant_id=project_id, lines=lines)
    judged_alike(encode_order(order), buyer_id.encode())


def test_a_judge_that_raises_ends_the_fold_with_what_it_raised():
    def judge(*_: Any) -> Any:
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        any_splitter(judge=judge).fold_record(0, 0, b"b1", b"{")


def test_two_orders_of_a_batch_are_two_donations():
    splitter = any_splitter(judge=decode_order)
    for offset, order_id in enumerate((b'"o1"', b'"o2"')):
        splitter.fold_record(offset, SOME_DAY_MS, b"b1", ORDER.replace(b'"o1"', order_id))
    assert sum(count for _, count in splitter.take_donations()) == 4
