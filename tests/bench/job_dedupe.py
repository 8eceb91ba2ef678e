"""The memory of order ids by itself, without Kafka: `tests/bench/dedupe.py` in a process of its own."""

import asyncio
import json
import sys
from typing import Any

from streams.errors import UserError
from tests.bench.machine import REPOSITORY
from tests.bench.options import Options, say


async def run(options: Options) -> dict[str, Any]:
    """One run: its figures are medians and means over many batches already."""
    say(f"dedupe: {options.ids:,} order ids")
    command = ["tests/bench/dedupe.py", "--ids", str(options.ids)]
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, cwd=REPOSITORY, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    if process.returncode != 0:
        raise UserError(f"tests/bench/dedupe.py ended with status {process.returncode}")
    return {
        "command": f"python {' '.join(command)}",
        "arguments": {"ids": options.ids},
        "method": __doc__,
        "right": True,  # it asserts that every new order is new to it, and every repeat known
        "figures": json.loads(output),
    }
