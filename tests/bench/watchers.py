"""How many can watch: `python -m tests.bench.watchers --watchers 2000 --seconds 20`. One JSON document.

The server runs in a process of its own, over a state that changes once in an interval as workers' commits would change
it; Kafka has no part in it. Of the watchers, which all are connections of this process, some take nothing at all. What
is measured: the server's CPU (of one core) and memory, before and while they watch, and how long an event takes from
the commit to a watcher's socket.
"""

import argparse
import asyncio
import json
import multiprocessing
import resource
import socket
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import psutil

from streams.serve.routes import STREAM_PATH
from tests.bench.machine import facts
from tests.serve.world import serving_state

PROJECTS = 500
CONNECT_AT_ONCE = 100


def serve(port_pipe, watchers: int, interval_s: float) -> None:
    """The server's process: says its port, then commits until it is ended."""

    async def run() -> None:
        with tempfile.TemporaryDirectory() as folder:
            async with serving_state(Path(folder), watchers_max=watchers + 1, interval_s=interval_s / 2) as api:
                api.now_ms = time.time_ns() // 1_000_000
                port_pipe.send(api.client.port)
                while True:
                    await asyncio.sleep(interval_s)
                    api.now_ms = time.time_ns() // 1_000_000  # stands in the event: watchers see how old it is
                    api.commit(*((f"P{number}", api.now_ms, 5) for number in range(PROJECTS)))

    asyncio.run(run())


class Watcher:
    """One connection that reads events, and remembers how late each came."""

    def __init__(self, reader: asyncio.StreamReader, late_ms: list[int]) -> None:
        self._reader = reader
        self._late_ms = late_ms
        self.events = 0

    async def run(self) -> None:
        while line := await self._reader.readline():
            if line.startswith(b'data: {"status":') and b'"year"' in line:
                self.events += 1
                at = line.index(b'"now_ms":') + len(b'"now_ms":')
                self._late_ms.append(time.time_ns() // 1_000_000 - int(line[at : line.index(b",", at)]))


async def watch(port: int, watchers: int, slow: int, seconds: float, server: psutil.Process) -> dict[str, object]:
    """Connect, let them settle, and measure for so long."""
    before_mb = server.memory_info().rss / 1e6
    request = f"GET {STREAM_PATH} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    late_ms: list[int] = []
    reading, streams = [], []
    for number in range(watchers):
        connection = socket.create_connection(("127.0.0.1", port))
        if number < slow:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            connection.sendall(request)
            streams.append(connection)
            continue
        reader, writer = await asyncio.open_connection(sock=connection, limit=2**20)
        writer.write(request)
        streams.append(writer)
        reading.append(Watcher(reader, late_ms))
        if number % CONNECT_AT_ONCE == 0:
            await asyncio.sleep(0.05)
    tasks = [asyncio.create_task(each.run()) for each in reading]
    await asyncio.sleep(min(5.0, seconds))
    late_ms.clear()
    for each in reading:
        each.events = 0
    cpu = server.cpu_times()
    started_s = time.monotonic()
    await asyncio.sleep(seconds)
    took_s = time.monotonic() - started_s
    cpu_s = sum(server.cpu_times()[:2]) - sum(cpu[:2])
    for task in tasks:
        task.cancel()
    for each in streams:
        each.close()
    ordered = sorted(late_ms)
    return {
        "watchers": watchers,
        "slow_watchers": slow,
        "seconds": round(took_s, 1),
        "events": len(ordered),
        "events_a_watcher_a_second": round(statistics.mean(each.events for each in reading) / took_s, 2),
        "fewest_events_of_a_watcher": min(each.events for each in reading),
        "late_ms": {"p50": ordered[len(ordered) // 2], "p99": ordered[len(ordered) * 99 // 100], "max": ordered[-1]},
        "server_cores": round(cpu_s / took_s, 3),
        "cpu_us_an_event": round(1e6 * cpu_s / len(ordered), 1),
        "server_mb_before": round(before_mb, 1),
        "server_mb_at_the_end": round(server.memory_info().rss / 1e6, 1),
    }


def measure(watchers: int, slow: int, seconds: float, interval_s: float) -> dict[str, object]:
    """One run, with the server in a process of its own."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=serve, args=(theirs, watchers, interval_s), daemon=True)
    process.start()
    try:
        if not ours.poll(120):
            raise TimeoutError("the server didn't start")
        return asyncio.run(watch(ours.recv(), watchers, slow, seconds, psutil.Process(process.pid)))
    finally:
        process.kill()
        process.join()


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--watchers", type=int, default=2_000)
    parser.add_argument("--slow", type=int, default=100, help="of them, so many take nothing")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--interval", type=float, default=1.0, help="seconds between commits")
    chosen = parser.parse_args(arguments)
    wanted = chosen.watchers + 200
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard), hard))
    result = measure(chosen.watchers, chosen.slow, chosen.seconds, chosen.interval)
    print(json.dumps({"machine": facts(embedded_broker=False), **result}, indent=2))


if __name__ == "__main__":
    main()
