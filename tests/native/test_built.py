"""The extension is built wherever it can be, so that its tests aren't skipped by an accident."""

import shutil

import pytest

from streams.native import extension
from tests.needs import IN_CI


@pytest.mark.skipif(not IN_CI, reason="only a build server promises a whole environment")
@pytest.mark.skipif(shutil.which("cargo") is None, reason="no Rust toolchain here")
def test_where_there_is_cargo_the_extension_is_built():
    assert extension is not None, "streams/native didn't build: python -m pip install --verbose --editable '.[dev]'"
