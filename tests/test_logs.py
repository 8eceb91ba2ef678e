import subprocess
import sys

import pytest

FAILING = """
import logging, structlog
from streams.logs import configure_logs
from streams.settings import Settings

configure_logs(Settings(log_format={log_format!r}))

def fail():
    password = "hush-" + "hush"
    raise ValueError("what went wrong")

for log in (logging.getLogger("a.library").exception, structlog.get_logger("ours").exception):
    try:
        fail()
    except ValueError:
        log("it failed")
"""


@pytest.mark.parametrize("log_format", ["console", "json"])
def test_a_traceback_shows_where_but_not_the_values_of_variables(log_format):
    code = FAILING.format(log_format=log_format)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.count("Traceback (most recent call last)") == 2
    assert done.stderr.count("ValueError: what went wrong") == 2
    assert "hush-hush" not in done.stderr
    assert "null" not in done.stderr
