"""What the embedded broker is told: Kafka's server properties and the command line of its Java."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from schemas import limits
from streams.engine.broker_runtime import Runtime

HOST = "127.0.0.1"
LOG4J_CONFIG = Path(__file__).parent / "broker_log4j2.properties"
HEAP_MB = 512
# The largest that any of our topics allows is four orders' worth (`schemas.topics`).
_MESSAGE_MAX_BYTES = 6 * limits.ORDER_MAX_BYTES
_YEAR_MINUTES = 366 * 24 * 60


class Ports(NamedTuple):
    """The three listeners: clients, the broker's own traffic with itself, and the controller."""

    client: int
    internal: int
    controller: int


def server_properties(data_dir: Path, ports: Ports, extra: Mapping[str, str]) -> dict[str, str]:
    """The server's properties; `extra` wins.

    The listener INTERNAL stays plain whatever a test makes of CLIENT: the broker writes the markers of transactions to
    itself through it.
    """
    return {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@{HOST}:{ports.controller}",
        "listeners": f"CLIENT://{HOST}:{ports.client},INTERNAL://{HOST}:{ports.internal},"
        f"CONTROLLER://{HOST}:{ports.controller}",
        "advertised.listeners": f"CLIENT://{HOST}:{ports.client},INTERNAL://{HOST}:{ports.internal}",
        "listener.security.protocol.map": "CLIENT:PLAINTEXT,INTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "INTERNAL",
        "log.dirs": str(data_dir / "kafka"),
        # One broker holds the only copy of everything.
        "default.replication.factor": "1",
        "offsets.topic.replication.factor": "1",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "share.coordinator.state.topic.replication.factor": "1",
        "share.coordinator.state.topic.min.isr": "1",
        # Few, so that the first member and the first transaction don't wait for 50 new partitions.
        "offsets.topic.num.partitions": "8",
        "transaction.state.log.num.partitions": "8",
        "share.coordinator.state.topic.num.partitions": "1",
        "group.initial.rebalance.delay.ms": "0",
        "group.min.session.timeout.ms": "1000",  # tests that kill workers needn't wait for Kafka's usual 6 s
        "auto.create.topics.enable": "false",
        # A killed broker may register again only when its old session has ended (by default after 9 s).
        "broker.session.timeout.ms": "3000",
        "broker.heartbeat.interval.ms": "500",
        # Events may be years old; retention by their timestamps would delete them while one watches.
        "log.retention.ms": "-1",
        "log.retention.bytes": "-1",
        "offsets.retention.minutes": str(_YEAR_MINUTES),
        "message.max.bytes": str(_MESSAGE_MAX_BYTES),
        "replica.fetch.max.bytes": str(_MESSAGE_MAX_BYTES),
        # By default 128 MB of the heap and of no use with so little to compact.
        "log.cleaner.dedupe.buffer.size": str(16 * 1_048_576),
        # By default it looks only every 10 s for transactions of dead workers, on top of their timeout.
        "transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000",
        **extra,
    }


def render(properties: Mapping[str, str]) -> str:
    """The text of a Java properties file."""
    return "".join(f"{name}={value.replace(chr(92), chr(92) * 2)}\n" for name, value in properties.items())


def java_command(runtime: Runtime, *, tool: bool = False) -> list[str]:
    """Java with everything but the main class and its arguments; `tool`: for a command that ends in a second."""
    tuning = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"] if tool else [f"-Xmx{HEAP_MB}m", "-XX:+UseG1GC"]
    return [
        str(runtime.java),
        *tuning,
        "-Djava.awt.headless=true",
        "-Djava.net.preferIPv4Stack=true",
        f"-Dlog4j2.configurationFile={LOG4J_CONFIG}",
        # Kafka unmaps files through an old door that newer Javas warn of at each start.
        "--sun-misc-unsafe-memory-access=allow",
        "--enable-native-access=ALL-UNNAMED",
        "-cp",
        runtime.classpath,
    ]
