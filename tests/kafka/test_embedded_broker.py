"""What the embedded broker promises: it answers, keeps what was acknowledged, and never outlives its parent."""

import asyncio
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from aiokafka import AIOKafkaProducer

from streams.engine.connection import client_options
from streams.engine.embedded_broker import EmbeddedBroker
from streams.engine.reader import open_reader
from streams.engine.topic_admin import check_topics, create_topics
from streams.errors import UserError
from streams.settings import Settings
from tests.kafka.workers import PATIENCE_S

PARENT = """
import pathlib, sys, time
from streams.engine.embedded_broker import EmbeddedBroker
broker = EmbeddedBroker(pathlib.Path(sys.argv[1]))
broker.start()
print(broker.pid, broker.port, flush=True)
time.sleep(600)
"""


@pytest.fixture
def own(tmp_path):
    """A broker of this test's own, that it may kill."""
    broker = EmbeddedBroker(tmp_path / "broker")
    yield broker
    broker.stop()
    shutil.rmtree(broker.data_dir)  # pytest keeps the folders of its last runs


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """A running broker for tests that leave it running."""
    folder = tmp_path_factory.mktemp("shared")
    with EmbeddedBroker(folder) as broker:
        yield broker
    shutil.rmtree(folder)


def settings_for(broker: EmbeddedBroker) -> Settings:
    return Settings(broker=broker.address, metrics_port=0, partitions=2)


async def produce(settings: Settings, *values: bytes) -> None:
    producer = AIOKafkaProducer(**client_options(settings), acks="all")
    await producer.start()
    try:
        for value in values:
            await producer.send_and_wait(settings.topics.orders, value, partition=0)
    finally:
        await producer.stop()


async def stored(settings: Settings) -> list[bytes]:
    async with open_reader(settings) as reader:
        return [record.value async for batch in reader.read(settings.topics.orders, 0) for record in batch]


def wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline, f"process {pid} is still there"
        time.sleep(0.05)


async def test_what_was_acknowledged_is_there_after_a_restart_and_after_kill_9_at_the_same_address(own):
    await asyncio.to_thread(own.start)
    settings = settings_for(own)
    address, first_pid = own.address, own.pid
    await create_topics(settings)
    await produce(settings, b"before the restart")

    await asyncio.to_thread(own.restart)
    assert (own.address, own.pid) != (address, first_pid)
    assert own.address == address
    await produce(settings, *(b"%d" % n for n in range(500)))

    own.kill()
    assert not own.is_running
    await asyncio.to_thread(own.start)
    assert own.address == address
    assert (await check_topics(settings)).orders == 2
    assert await stored(settings) == [b"before the restart", *(b"%d" % n for n in range(500))]

    own.stop()
    with EmbeddedBroker(own.data_dir) as another:
        assert another.address == address
        assert len(await stored(settings)) == 501


async def test_a_frozen_broker_answers_nothing_and_a_woken_one_goes_on(shared):
    settings = settings_for(shared)
    await create_topics(settings)
    shared.pause()
    waiting = asyncio.create_task(produce(settings, b"x"))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.shield(waiting), 1.5)
    shared.resume()
    await asyncio.wait_for(waiting, PATIENCE_S)
    assert await stored(settings) == [b"x"]


def test_a_frozen_broker_can_be_stopped(own):
    own.start()
    pid = own.pid
    own.pause()
    own.stop()
    assert not psutil.pid_exists(pid)


def test_the_broker_dies_with_a_parent_that_is_killed_and_its_folder_is_free_again(tmp_path):
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path / "broker")], stdout=subprocess.PIPE, text=True
    )
    try:
        pid, port = (int(text) for text in parent.stdout.readline().split())
        assert psutil.Process(pid).is_running()
    finally:
        parent.kill()
        parent.communicate()
    wait_until_gone(pid)
    with EmbeddedBroker(tmp_path / "broker") as again:
        assert again.port == port
    shutil.rmtree(tmp_path / "broker")


def test_a_folder_is_used_by_one_broker_at_a_time(shared):
    with pytest.raises(UserError, match=f"another broker uses the folder {shared.data_dir}"):
        EmbeddedBroker(shared.data_dir).start()
    assert shared.is_running


def test_a_port_that_is_taken_is_named(tmp_path):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(UserError, match=f"port {port} is taken"):
            EmbeddedBroker(tmp_path, port).start()


def test_a_broker_that_dies_as_it_starts_is_told_with_its_log(tmp_path):
    broker = EmbeddedBroker(tmp_path, properties={"num.io.threads": "none"})
    with pytest.raises(UserError, match=r"(?s)broker\.log:.*num\.io\.threads"):
        broker.start()
    assert not broker.is_running


def test_extra_properties_reach_the_server_and_may_change_between_starts(own):
    own.properties["message.max.bytes"] = "1234567"
    own.start()
    assert "message.max.bytes=1234567\n" in (own.data_dir / "server.properties").read_text()
    own.stop()
    own.properties["num.io.threads"] = "none"
    with pytest.raises(UserError, match=r"num\.io\.threads"):
        own.start()
    del own.properties["num.io.threads"]
    own.start()
    assert own.is_running


def test_the_listeners_are_closed_to_other_machines(shared):
    listening = {each.laddr.ip for each in psutil.Process(shared.pid).net_connections("tcp") if each.status == "LISTEN"}
    assert {ip.removeprefix("::ffff:") for ip in listening} == {"127.0.0.1"}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_command_says_where_it_answers_and_stops_at_a_signal(tmp_path, number):
    command = subprocess.Popen(
        [sys.executable, "-m", "streams.cli", "broker", "--data", str(tmp_path / "broker")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    line = command.stdout.readline()
    port = int(re.search(r"answers at 127\.0\.0\.1:(\d+)", line)[1])
    os.killpg(command.pid, number)  # as a terminal does
    _, errors = command.communicate(timeout=30)
    assert (command.returncode, errors) == (0, "")
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0
    log = Path(tmp_path / "broker" / "broker.log").read_text()
    assert "started" in log
    assert "Unclean" not in log
    shutil.rmtree(tmp_path / "broker")
