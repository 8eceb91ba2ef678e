"""A real Apache Kafka on this machine, without Docker or an installed Java: for development, tests, CI and the demo.

One process is broker and controller (KRaft), reachable at 127.0.0.1 only. All that it knows lies in its data folder:
topics, offsets, its ports and its log. Whatever was acknowledged is there again after a restart, and after a kill -9 of
the broker or of the process that started it. The broker never outlives that process.
"""

import asyncio
import base64
import fcntl
import json
import os
import random
import signal
import socket
import subprocess
import time
import uuid
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError

from streams.engine import broker_config
from streams.engine.broker_runtime import Runtime, load_runtime
from streams.engine.leash import Leash
from streams.errors import UserError

START_TIMEOUT_S = 60  # ten times what a start takes on a busy machine with two cores
STOP_TIMEOUT_S = 30  # an orderly stop takes half a second; after this it is killed
LOCK_TIMEOUT_S = 5  # the broker of a process that was just killed needs a moment to die
PORT_TIMEOUT_S = 10  # the same for its port
PROBE_INTERVAL_S = 0.05
LOG_TAIL_LINES = 15
LOG_MAX_BYTES = 10 * 1_048_576  # a larger log is put aside at the next start; one old one is kept
# Below the range from which systems take ports for outgoing connections: a client that keeps trying to reach a killed
# broker's port could otherwise be given that very port, connect to itself, and keep the broker from coming back.
FREE_PORTS = range(20_000, 30_000)


class EmbeddedBroker:
    """One broker with its data folder. Used as a context manager, or with `start` and `stop`; may be started again.

    `port` None: the port of last time, or `preferred_port`, if that is free; or else a free one. `properties` are added
    to the server's, and win. `format_arguments` go to Kafka's storage tool when the folder is new (`--add-scram …`),
    `java_options` to the server's Java.
    Every method blocks; in a coroutine call them through `asyncio.to_thread`.
    """

    def __init__(  # noqa: PLR0913 - what a broker may be given, by name
        self,
        data_dir: Path,
        port: int | None = None,
        *,
        preferred_port: int | None = None,
        properties: Mapping[str, str] | None = None,
        format_arguments: Sequence[str] = (),
        java_options: Sequence[str] = (),
    ) -> None:
        self.data_dir = data_dir.resolve()
        self.properties = dict(properties or {})  # may be changed between a stop and the next start
        self._format_arguments = tuple(format_arguments)
        self._java_options = tuple(java_options)
        self._wanted_port = port
        self._preferred_port = preferred_port
        self._ports: broker_config.Ports | None = None
        self._lock: IO[str] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._leash: Leash | None = None

    @property
    def port(self) -> int:
        return self._known_ports().client

    @property
    def address(self) -> str:
        """What `EVERYCENT_BROKER` must be to reach it."""
        return f"{broker_config.HOST}:{self.port}"

    @property
    def internal_address(self) -> str:
        """A second listener, always plain: for administration where a test gives the first one TLS or passwords."""
        return f"{broker_config.HOST}:{self._known_ports().internal}"

    @property
    def log_path(self) -> Path:
        return self.data_dir / "broker.log"

    @property
    def pid(self) -> int:
        return self._running().pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start and wait until it answers.

        Raises UserError: extra not installed, download failed, folder or port in use, or it died or didn't answer.
        """
        if self.is_running:
            raise RuntimeError("this broker runs already")
        runtime = load_runtime()
        try:
            self._take_folder()
            self._ports = self._choose_ports()
            self._write_files(runtime)
            self._spawn(runtime)
            self._wait_until_it_answers()
        except BaseException:  # also when the person at the keyboard has lost patience
            self.kill()
            self._release_folder()
            raise

    def stop(self) -> None:
        """Stop in order (SIGTERM); harmless if it doesn't run."""
        if self._process is not None:
            if self.is_running:
                self._process.send_signal(signal.SIGCONT)
                self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._release_leash()
        self._release_folder()

    def kill(self) -> None:
        """End it with kill -9; harmless if it doesn't run. The folder stays ours for a `start`."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._release_leash()

    def restart(self) -> None:
        """Start again with the same port and data, after an orderly stop if it still runs."""
        self._wanted_port = self.port
        self.stop()
        self.start()

    def pause(self) -> None:
        """Freeze it (SIGSTOP): connections stay open and nothing answers."""
        self._running().send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Wake it after `pause`."""
        self._running().send_signal(signal.SIGCONT)

    def wait(self) -> int:
        """Wait until it ends by itself; its exit status."""
        return self._running().wait()

    def log_tail(self) -> str:
        """The last lines of its log."""
        lines = self.log_path.read_text(errors="replace").splitlines() if self.log_path.exists() else []
        return "\n".join(lines[-LOG_TAIL_LINES:])

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _known_ports(self) -> broker_config.Ports:
        if self._ports is None:
            raise RuntimeError("this broker hasn't been started")
        return self._ports

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None or not self.is_running:
            raise RuntimeError("this broker doesn't run")
        return self._process

    def _take_folder(self) -> None:
        """Lock the folder. The broker inherits the lock, so it is free only when both processes are gone."""
        if self._lock is not None:
            return
        try:
            self.data_dir.mkdir(parents=True, exist_ok=True)
            lock = (self.data_dir / "lock").open("w")
        except OSError as error:
            raise UserError(f"the broker can't use the folder {self.data_dir}: {error.strerror}") from error
        deadline = time.monotonic() + LOCK_TIMEOUT_S
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    lock.close()
                    raise UserError(
                        f"another broker uses the folder {self.data_dir}; stop it, or name another one with --data"
                    ) from None
                time.sleep(PROBE_INTERVAL_S)
            else:
                self._lock = lock
                return

    def _release_folder(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _choose_ports(self) -> broker_config.Ports:
        memory = self.data_dir / "ports.json"
        last = broker_config.Ports(**json.loads(memory.read_text())) if memory.exists() else None
        client = self._wanted_port
        if client is not None:
            _wait_for_port(client, PORT_TIMEOUT_S if last is not None and last.client == client else 0)
        taken = {client}

        def choose(preferred: int | None) -> int:
            if preferred is None or preferred in taken or not _is_free(preferred):
                preferred = next(port for port in _shuffled_ports() if port not in taken and _is_free(port))
            taken.add(preferred)
            return preferred

        if client is None:
            client = choose(last.client if last else self._preferred_port)
        ports = broker_config.Ports(client, choose(last and last.internal), choose(last and last.controller))
        memory.write_text(json.dumps(ports._asdict()))
        return ports

    def _write_files(self, runtime: Runtime) -> None:
        if self.log_path.exists() and self.log_path.stat().st_size > LOG_MAX_BYTES:
            self.log_path.replace(self.log_path.with_suffix(".log.1"))
        self._config_path.write_text(
            broker_config.render(broker_config.server_properties(self.data_dir, self._known_ports(), self.properties))
        )
        if not (self.data_dir / "kafka" / "meta.properties").exists():
            self._format(runtime)

    @property
    def _config_path(self) -> Path:
        return self.data_dir / "server.properties"

    def _format(self, runtime: Runtime) -> None:
        # Kafka's ids of clusters are UUIDs in 22 characters; one that began with a dash would be taken for an option.
        cluster = "E" + base64.urlsafe_b64encode(uuid.uuid4().bytes).decode()[1:22]
        command = [*broker_config.java_command(runtime, tool=True), "kafka.tools.StorageTool", "format"]
        command += ["-t", cluster, "-c", str(self._config_path), "--ignore-formatted", *self._format_arguments]
        with self.log_path.open("ab") as log:
            done = subprocess.run(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, check=False)  # noqa: S603 - our own words
        if done.returncode != 0:
            raise self._failed("Kafka's storage tool can't format the folder")

    def _spawn(self, runtime: Runtime) -> None:
        assert self._lock is not None
        command = [
            *broker_config.java_command(runtime),
            *self._java_options,
            "kafka.Kafka",
            str(self._config_path),
        ]
        self._release_leash()  # of one that ended by itself
        self._leash = Leash()
        with self.log_path.open("ab") as log:
            self._process = self._leash.spawn(command, log, folder=self.data_dir, inherited_files=[self._lock.fileno()])

    def _release_leash(self) -> None:
        if self._leash is not None:
            self._leash.release()
            self._leash = None

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        with ThreadPoolExecutor(1) as thread:  # the caller's thread may run an event loop already
            while time.monotonic() < deadline:
                if not self.is_running:
                    raise self._failed("the broker died as it started")
                if _accepts(self.port) and thread.submit(asyncio.run, _answers(self.internal_address)).result():
                    return
                time.sleep(PROBE_INTERVAL_S)
        raise self._failed(f"the broker didn't answer within {START_TIMEOUT_S} s")

    def _failed(self, what: str) -> UserError:
        return UserError(f"{what}; the last lines of {self.log_path}:\n{self.log_tail()}")


async def _answers(address: str) -> bool:
    """True if the broker at `address` answers and names itself as ready for work."""
    client = AIOKafkaClient(bootstrap_servers=address, request_timeout_ms=5_000)
    try:
        await client.bootstrap()
        return bool(client.cluster.brokers())
    except (KafkaError, OSError):
        return False
    finally:
        await client.close()


def _accepts(port: int) -> bool:
    try:
        with socket.create_connection((broker_config.HOST, port), timeout=1):
            return True
    except OSError:
        return False


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as Kafka does: leftovers of old connections
        try:
            probe.bind((broker_config.HOST, port))
        except OSError:
            return False
        return True


def _wait_for_port(port: int, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while not _is_free(port):
        if time.monotonic() >= deadline:
            raise UserError(f"port {port} is taken by another program; name another one with --port")
        time.sleep(PROBE_INTERVAL_S)


def _shuffled_ports() -> Sequence[int]:
    return random.Random(os.urandom(8)).sample(FREE_PORTS, len(FREE_PORTS))  # noqa: S311 - not a secret
