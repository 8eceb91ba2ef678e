"""The broker of a long run: one that is there, or one of its own."""

from collections.abc import Iterator
from contextlib import contextmanager
from os import environ
from pathlib import Path
from tempfile import TemporaryDirectory

from streams.engine.embedded_broker import EmbeddedBroker


@contextmanager
def broker_for_run(name: str) -> Iterator[str]:
    """The address of the broker that EVERYCENT_BROKER names, or of one for the run `name`."""
    if address := environ.get("EVERYCENT_BROKER"):
        yield address
        return
    with TemporaryDirectory(prefix=f"everycent-{name}-") as folder, EmbeddedBroker(Path(folder)) as embedded:
        yield embedded.address
