"""The Faust app."""

import asyncio

import pytest
from faust.exceptions import ConsumerNotStarted

from streams.engine.app import create_faust_app
from streams.engine.runtime import Runtime
from streams.settings import Settings


async def test_a_start_doesnt_wait_for_tables_that_may_yet_be_made() -> None:
    settings = Settings()
    tables = create_faust_app(settings, Runtime(settings, [])).tables
    with pytest.raises(ConsumerNotStarted):  # it is at work already; Faust's own sleeps for a second first
        await asyncio.wait_for(tables.on_start(), timeout=0.5)
