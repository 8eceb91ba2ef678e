"""The memory of order ids by itself, without Kafka, in Python and in Rust: each in a process of its own."""

import asyncio
import json
import sys
from typing import Any

from streams.errors import UserError
from streams.native import extension
from tests.bench.machine import REPOSITORY
from tests.bench.options import Options, say


async def run(options: Options) -> dict[str, Any]:
    """One run: its figures are medians and means over many batches already. Those of Rust stand under `native`."""
    say(f"dedupe: {options.ids:,} order ids")
    commands = [["-m", "tests.bench.dedupe", "--ids", str(options.ids)]]
    if extension is not None:
        commands.append(["-m", "tests.bench.dedupe_native", "--ids", str(options.ids)])
    figures, *native = [await _measure(command) for command in commands]
    return {
        "commands": [f"python {' '.join(command)}" for command in commands],
        "arguments": {"ids": options.ids},
        "method": __doc__,
        "right": True,  # both assert that every new order is new to them, and every repeat known
        "figures": {**figures, "native": native[0] if native else None},
    }


async def _measure(command: list[str]) -> dict[str, Any]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, cwd=REPOSITORY, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    if process.returncode != 0:
        raise UserError(f"{' '.join(command)} ended with status {process.returncode}")
    figures: dict[str, Any] = json.loads(output)
    return figures
