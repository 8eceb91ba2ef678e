import io
import sys

import pytest

from streams.cli import progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def written(monkeypatch):
    def to(stream):
        monkeypatch.setattr(sys, "stderr", stream)
        progress.tell("log 0: 1,000 of 2,000 leaves")
        progress.tell("log 0: 2 of 2")
        progress.clear()
        print("everycent: that went wrong", file=sys.stderr)
        return stream.getvalue()

    return to


def test_each_line_of_progress_replaces_the_one_before_and_leaves_nothing_of_it(written):
    shown = [line.partition("\x1b[K")[2] for line in written(Terminal()).split("\r")]
    assert shown == ["", "log 0: 1,000 of 2,000 leaves", "log 0: 2 of 2", "everycent: that went wrong\n"]


def test_where_there_is_no_terminal_nobody_is_told(written):
    assert written(io.StringIO()) == "everycent: that went wrong\n"
