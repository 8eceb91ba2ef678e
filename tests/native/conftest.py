"""Where the extension isn't built there is nothing to compare; `test_built.py` says when that is a fault."""

import pytest

from streams.native import extension

NEEDS_NO_EXTENSION = "test_built"


@pytest.fixture(autouse=True)
def built(request: pytest.FixtureRequest) -> None:
    if extension is None and request.module.__name__.rpartition(".")[2] != NEEDS_NO_EXTENSION:
        pytest.skip("the Rust extension isn't built here")
