import pytest
from typer.testing import CliRunner

from streams.cli import app
from streams.errors import ExitStatus, UserError


def run(*arguments):
    return CliRunner().invoke(app, ["simulate", *arguments])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--live", "--start", "2020-11-11"), "--live sets every event time"),
        (("--live", "--scenario", "double11"), "--live sets every event time"),
        (("--start", "tomorrow"), "--start 'tomorrow' is not a time"),
        (("--start", "1969-12-31T23:59:59+00:00"), "--start: the orders' times don't fit"),
        (("--start", "9999-12-31T23:59:59+00:00"), "--start: the orders' times don't fit"),
    ],
)
def test_arguments_that_cannot_be_are_told_in_one_line_before_anything_is_sent(arguments, message):
    result = run("--orders", "10", *arguments)
    assert isinstance(result.exception, UserError)
    assert result.exception.exit_status is ExitStatus.UNUSABLE
    assert message in str(result.exception)


@pytest.mark.parametrize(
    "arguments",
    [("--orders", "0"), ("--orders", "10", "--rate", "0"), ("--orders", "10", "--repeats", "1.5"), ()],
)
def test_options_out_of_range_or_missing_are_a_usage_error(arguments):
    assert run(*arguments).exit_code == 2


def test_help_shows_an_example():
    assert "everycent simulate --orders 200000" in run("--help").output
