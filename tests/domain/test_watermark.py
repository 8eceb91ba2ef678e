"""Watermarks: the least of the sources that aren't idle, and never back."""

from hypothesis import given
from hypothesis import strategies as st

from streams.domain.watermark import Watermarks

SOURCES = 4
SaidList = list[tuple[int, int, bool]]
SAID = st.lists(st.tuples(st.integers(0, SOURCES - 1), st.integers(0, 10_000), st.booleans()), max_size=40)


def told(said: SaidList, marks: Watermarks | None = None) -> Watermarks:
    marks = marks or Watermarks(SOURCES)
    for source, watermark_ms, idle in said:
        marks.advance(source, watermark_ms, idle=idle)
    return marks


def test_a_source_that_was_not_heard_holds_the_watermark() -> None:
    marks = told([(0, 50, False), (1, 60, False), (2, 70, False)])
    assert marks.current_ms == 0
    assert marks.advance(3, 40, idle=False)
    assert marks.current_ms == 40


def test_an_idle_source_holds_nothing() -> None:
    marks = told([(0, 50, False), (1, 60, False), (2, 70, False), (3, 0, True)])
    assert marks.current_ms == 50


def test_a_source_that_comes_back_from_idle_does_not_turn_time_back() -> None:
    marks = told([(0, 50, False), (1, 60, False), (2, 70, False), (3, 0, True), (3, 10, False)])
    assert marks.current_ms == 50


def test_where_all_are_idle_time_stands() -> None:
    marks = told([(source, 50, False) for source in range(SOURCES)])
    told([(source, 90, True) for source in range(SOURCES - 1)], marks)
    assert not marks.advance(SOURCES - 1, 90, idle=True)
    assert marks.current_ms == 50


@given(SAID)
def test_the_watermark_never_falls(said: SaidList) -> None:
    marks, before = Watermarks(SOURCES), 0
    for source, watermark_ms, idle in said:
        rose = marks.advance(source, watermark_ms, idle=idle)
        assert marks.current_ms > before if rose else marks.current_ms == before
        before = marks.current_ms


@given(SAID, SAID)
def test_what_was_encoded_goes_on_the_same(
    before: list[tuple[int, int, bool]], after: list[tuple[int, int, bool]]
) -> None:
    marks = told(before)
    restored = Watermarks(SOURCES)
    restored.restore(marks.encode())
    assert restored.encode() == marks.encode()
    assert told(after, restored).current_ms == told(after, marks).current_ms


@given(st.text(alphabet="0123456789:,-i", max_size=20).filter(lambda text: text.count(",") != SOURCES - 1))
def test_text_of_other_sources_is_passed_over(text: str) -> None:
    marks = told([(0, 50, False)])
    marks.restore(text)
    assert marks.encode() == told([(0, 50, False)]).encode()


def test_a_thousand_sources_within_a_minute_fit_with_an_offset() -> None:
    marks = Watermarks(1_000, floor_ms=1_605_024_000_000)
    told([(source, 1_605_024_000_000 + 9 * source % 1_000, False) for source in range(1_000)], marks)
    assert len(marks.encode()) < 4_096
