import json
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


LINES = """
import logging, structlog
from streams.logs import configure_logs
from streams.settings import Settings

configure_logs(Settings(log_format="json", log_level="info", broker_sasl_password="hush-hush"))
structlog.get_logger("ours").info("assignment", topic="捐款", partition=3)
logging.getLogger("faust.transport").warning("%s of a library", "a line")
logging.getLogger("faust.transport").info("not told")
structlog.get_logger("ours").debug("not told")
structlog.get_logger("ours").warning("refused", answer="user me with hush-hush isn't known")
logging.getLogger("faust.transport").warning("connecting with hush-hush")
"""


def test_our_lines_and_those_of_libraries_are_json_objects_of_one_form_and_a_secret_in_one_is_masked():
    done = subprocess.run([sys.executable, "-c", LINES], capture_output=True, text=True, check=True)
    ours, library, refused, connecting = map(json.loads, done.stderr.splitlines())
    assert (ours["event"], ours["topic"], ours["partition"], ours["level"]) == ("assignment", "捐款", 3, "info")
    assert (library["event"], library["logger"], library["level"]) == (
        "a line of a library",
        "faust.transport",
        "warning",
    )
    assert ours["timestamp"].endswith("Z")
    assert library["timestamp"].endswith("Z")
    assert refused["answer"] == "user me with ********** isn't known"
    assert connecting["event"] == "connecting with **********"
