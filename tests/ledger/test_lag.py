from structlog.testing import capture_logs

from streams.ledger_service.lag import SILENCE_MAX_S, Lag, Silence

STARTED_MS = 1_000_000


def test_the_lag_grows_until_all_is_published_that_was_there_at_a_moment():
    lag = Lag(STARTED_MS)
    lag.saw(STARTED_MS + 100, 50)
    lag.published(49)
    assert lag.seconds(STARTED_MS + 5_000) == 5
    assert not lag.has_caught_up
    lag.published(50)
    assert lag.has_caught_up
    assert lag.seconds(STARTED_MS + 5_000) == 4.9


def test_a_topic_that_grows_faster_than_it_is_published_is_ever_further_behind_and_never_wrongly_near():
    lag = Lag(STARTED_MS)
    behind = []
    for second in range(1, 100):
        now_ms = STARTED_MS + second * 1_000
        lag.saw(now_ms, second * 100)
        lag.published(second * 50)
        behind.append(lag.seconds(now_ms))
        published_then = next(s for s in range(second + 1) if (s + 1) * 100 > second * 50)
        assert behind[-1] >= second - published_then - 1e-9
    assert behind[-1] > 40


def test_while_the_broker_says_nothing_new_the_lag_grows():
    lag = Lag(STARTED_MS)
    for _ in range(5):
        lag.saw(STARTED_MS + 100, 50)  # the same answer, again and again
        lag.published(50)
    assert lag.seconds(STARTED_MS + 60_100) == 60


def test_a_clock_that_was_set_back_shows_no_negative_lag():
    assert Lag(STARTED_MS).seconds(STARTED_MS - 5_000) == 0


def test_a_broker_that_says_nothing_is_told_once_and_so_is_its_return():
    silence = Silence(0.0)
    with capture_logs() as lines:
        silence.heard([5, None], 1.0)
        silence.heard([5, None], 1.0 + SILENCE_MAX_S)
        assert not lines
        for second in range(100):
            silence.heard([5, None], 1.1 + SILENCE_MAX_S + second)
        assert [line["log_level"] for line in lines] == ["warning"]
        silence.heard([5, 7], 200.0)
        silence.heard([6, 7], 201.0)
    assert [line["event"] for line in lines] == [
        "the broker doesn't answer: the ledger waits for it",
        "the broker answers again",
    ]
