"""What a person is shown of rejected orders: nothing that was sent reaches the terminal as it was sent."""

from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.rejection import Reason, Rejection
from streams.views.rejected import (
    PREVIEW_CHARACTERS,
    RejectedOrder,
    local_time,
    rejected_json,
    rejected_lines,
    safe_text,
)

SHANGHAI = ZoneInfo("Asia/Shanghai")
REJECTION = Rejection(Reason.INVALID, "Expected `int`", "orders", 3, 17, 1_605_024_000_123)


def rejected(value: bytes | None, key: bytes | None = b"b1", rejection: Rejection | None = REJECTION) -> RejectedOrder:
    return RejectedOrder("rejected-orders", 3, 5, key, value, rejection, "" if rejection else "no header 'reason'")


@given(st.one_of(st.binary(max_size=1_000), st.text(max_size=1_000)))
def test_whatever_was_sent_is_shown_on_one_line_without_anything_that_a_terminal_acts_upon(what):
    shown = safe_text(what)
    assert all(char.isprintable() for char in shown)
    assert len(shown) <= PREVIEW_CHARACTERS


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        (b'{"a":1}', '{"a":1}'),
        ("订单".encode(), "订单"),
        (b"\x1b[2J\x07", r"\x1b[2J\x07"),
        (b"a\r\nb\tc\x00\x7f", r"a\r\nb\tc\x00\x7f"),
        ("\u009b31m".encode(), r"\x9b31m"),
        (b"\x9b31m\xff", r"\x9b31m\xff"),
        ("\u202etxt\u200b\u2066\u2028".encode(), r"\u202etxt\u200b\u2066\u2028"),
        (b"[red]x[/red]", "[red]x[/red]"),
        ("\ud800", r"\ud800"),
        (b"", ""),
        (None, "(no value)"),
    ],
)
def test_what_is_not_printable_is_shown_as_an_escape_and_the_rest_as_it_is(sent, shown):
    assert safe_text(sent) == shown


def test_what_is_long_is_cut_and_says_so():
    assert safe_text(b"x" * 10, 10) == "x" * 10
    assert safe_text(b"x" * 11, 10) == "x" * 9 + "…"
    assert safe_text(b"x" * 1_000_000, 10) == "x" * 9 + "…"
    assert safe_text("订" * 1_000, 10) == "订" * 9 + "…"
    assert safe_text(("订" * 1_000).encode(), 10) == "订" * 9 + "…"
    assert safe_text(b"\x1b" * 4, 10) == r"\x1b\x1b\…"


def test_a_rejected_order_is_shown_with_reason_place_detail_and_the_zones_time():
    first, second = rejected_lines(rejected(b'{"paid_fen":"1"}'), SHANGHAI)
    assert first.split(None, 3) == ["2020-11-11T00:00:00.123+08:00", "invalid", "orders-3@17", "Expected `int`"]
    assert second.strip() == 'key b1  value {"paid_fen":"1"} (16 bytes)'


def test_keys_details_and_topic_names_are_as_little_trusted_as_values():
    hostile = Rejection(Reason.INVALID, "\x1b[31m\n", "or\x1bders", 3, 17, 10**30)
    lines = rejected_lines(rejected(b"\x1b", b"\x1b]0;x\x07", hostile), SHANGHAI)
    assert all(char.isprintable() for line in lines for char in line)
    assert lines[0].startswith(f"{10**30} ms")


def test_a_record_without_its_headers_or_its_value_is_shown_all_the_same():
    first, second = rejected_lines(rejected(None, None, None), SHANGHAI)
    assert first.split() == ["?", "unreadable", "?", "no", "header", "'reason'"]
    assert second.strip() == "key (no key)  value (no value)"


@pytest.mark.parametrize(
    ("value", "fields"),
    [
        ("订单".encode(), {"value": "订单"}),
        (b"\xff\x00", {"value": None, "value_base64": "/wA="}),
        (None, {"value": None}),
    ],
)
def test_programs_get_all_that_was_sent(value, fields):
    shown = rejected_json(rejected(value), SHANGHAI)
    assert {name: found for name, found in shown.items() if name.startswith("value")} == fields
    assert (shown["source"], shown["place"], shown["key"]) == ("orders-3@17", "rejected-orders-3@5", "b1")
    assert (shown["rejected_at"], shown["rejected"]) == (1_605_024_000_123, "2020-11-11T00:00:00.123+08:00")


def test_times_are_whole_milliseconds_and_never_fail():
    assert local_time(0, ZoneInfo("UTC")) == "1970-01-01T00:00:00.000+00:00"
    assert local_time(253_402_300_799_999, ZoneInfo("UTC")).startswith("9999-12-31T23:59:59.999")
    assert local_time(253_402_300_799_999, SHANGHAI) == "253402300799999 ms"
    assert local_time(-(10**18), SHANGHAI) == f"-{10**18} ms"
