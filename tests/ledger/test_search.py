"""A donation that the index lacks is looked through for: how far that is and what would be quicker is said."""

import io

from streams.cli.ledger_search import LINES_EVERY_S, SearchProgress
from streams.ledger.tiles import TILE_WIDTH
from streams.ledger_service.index import BATCH_BUNDLES, find_unindexed, open_index
from streams.ledger_service.receipts import receipt_of
from tests.ledger.parts import SALTS, published_log

BATCH = BATCH_BUNDLES * TILE_WIDTH
SIZE = 2 * BATCH + 300


class Screen(io.StringIO):
    """What is written to a terminal, or to a journal."""

    def __init__(self, *, terminal: bool) -> None:
        super().__init__()
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal


class Search:
    """`rate` leaves a second of 10,000,000 are looked through; what is said of it."""

    def __init__(self, *, terminal: bool, rate: int = 2_000_000) -> None:
        self.now_s, self.rate = 100.0, rate
        self.screen = Screen(terminal=terminal)
        self.progress = SearchProgress(self.screen, lambda: self.now_s)

    def until(self, s: float) -> str:
        while self.now_s < 100 + s:
            self.now_s += 0.1
            self.progress(round((self.now_s - 100) * self.rate), 100_000_000)
        return self.screen.getvalue()


def test_a_search_that_is_over_at_once_says_nothing():
    search = Search(terminal=True)
    assert search.until(1.9) == ""
    search.progress.close()
    assert search.screen.getvalue() == ""


def test_a_longer_one_names_the_way_out_once_and_says_how_far_it_is_and_how_long_yet():
    search = Search(terminal=True)
    said = search.until(30)
    first, _, rest = said.partition("\n")
    assert first.startswith("The index lacks 100,000,000 leaves")
    assert "`everycent ledger index`" in first
    looks = [line.strip() for line in rest.split("\r")[1:]]
    assert 40 <= len(looks) <= 60
    assert looks[-1].startswith("5")
    assert looks[-1].endswith("of 100,000,000 leaves looked through, 20 s more at the most")
    search.progress.close()
    assert search.screen.getvalue().endswith("\n")
    slow = Search(terminal=True, rate=10_000).until(3)
    assert "2 h 46 min more at the most" in slow


def test_where_lines_stay_there_are_few_of_them():
    said = Search(terminal=False).until(3 * LINES_EVERY_S)
    assert "\r" not in said
    assert 3 <= said.count("\n") <= 4


def test_what_has_been_looked_through_is_told_over_all_logs_from_where_the_index_ends(tmp_path):
    first = published_log(tmp_path / "a", SIZE)
    (tmp_path / "ledger/donations").mkdir(parents=True)
    for partition in (0, 1):
        (tmp_path / f"ledger/donations/{partition}").symlink_to(first.folder)
    with open_index(tmp_path / "index", write=True) as index:
        assert index.advance(0, first.log, BATCH + 10) == BATCH + 10
    told = []
    wanted = f"{1_400_000_000_000_000_000 + SIZE - 1}:0"
    receipt = receipt_of(
        tmp_path / "ledger", tmp_path / "index", SALTS, wanted, on_searched=lambda *each: told.append(each)
    )
    assert receipt.index == SIZE - 1
    left = BATCH + 290
    assert told == [(0, left + SIZE), (BATCH - 10, left + SIZE)]


def test_a_donation_that_is_nowhere_is_looked_for_to_the_end(tmp_path):
    log = published_log(tmp_path, SIZE).log
    told = []
    assert find_unindexed(log, 0, SIZE, "1:1", told.append) is None
    assert told == [0, BATCH, 2 * BATCH]
