"""What a task drops is gone: Python's collector doesn't see into the extension, so a cycle through it would stay."""

import gc
import weakref

import pytest

from streams.agents.split_native import NativeSplitProcessor
from streams.agents.totals_native import NativeTotalsProcessor
from streams.domain.windows import Calendar
from streams.settings import Settings

SETTINGS = Settings()
OPEN = {
    "split": lambda: NativeSplitProcessor(SETTINGS, 0, 1),
    "totals": lambda: NativeTotalsProcessor(SETTINGS, 0, Calendar(SETTINGS.timezone), 1),
}


@pytest.mark.parametrize("stage", OPEN)
def test_a_dropped_processor_leaves_memory(stage: str) -> None:
    dropped = weakref.ref(OPEN[stage]())
    gc.collect()
    assert dropped() is None
