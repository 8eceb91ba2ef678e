"""The Java that the peers run on: the embedded broker's, jars from Maven Central, and a compiler that needs no JDK.

Sources in folders beside this file, those of `java_shared` with each peer's, are compiled by Eclipse's compiler, whose
jar runs on any Java. What comes of it is kept in the cache folder under a name made of the sources and the jars'
versions, so it is compiled once.
"""

import hashlib
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from streams.engine.broker_runtime import KAFKA_VERSION, cache_dir, fetch_jars, load_runtime
from streams.errors import UserError

COMPILER_VERSION = "3.43.0"
LANGUAGE = "21"
FLINK_VERSION = "2.3.0"
HERE = Path(__file__).parent
SHARED = HERE / "java_shared"
WITHOUT = "or choose other engines with --engine"


@dataclass(frozen=True, slots=True)
class JavaPeer:
    """A peer in Java: the folder of its sources, its main class, and what it needs from Maven Central."""

    name: str
    sources: Path
    main: str
    coordinates: tuple[str, ...]
    megabytes: int
    options: tuple[str, ...]

    def command(self) -> list[str]:
        """Java and its options up to the main class, everything fetched and compiled. Raises UserError."""
        java = load_runtime().java
        jars = cache_dir() / f"bench-{self.name}"
        if not jars.is_dir():
            fetch_jars(jars, self.coordinates, f"{self.name} for the bench", self.megabytes, WITHOUT)
        classes = _compiled(java, self, jars)
        return [str(java), *self.options, "-cp", f"{classes}:{jars}/*", self.main]


OPTIONS = (
    "-Xms3g",
    "-Xmx3g",
    "-XX:+UseParallelGC",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=error",
    "--sun-misc-unsafe-memory-access=allow",
    "--enable-native-access=ALL-UNNAMED",
)
KAFKA_STREAMS = JavaPeer(
    name=f"kafka-streams-{KAFKA_VERSION}",
    sources=HERE / "kafka_streams",
    main="KafkaStreamsPeer",
    # Without a binding of slf4j it would say at each start that it has none; it logs what is wrong as exceptions.
    coordinates=(f"org.apache.kafka:kafka-streams:{KAFKA_VERSION}", "org.slf4j:slf4j-simple:1.7.36"),
    megabytes=97,
    options=OPTIONS,
)
FLINK = JavaPeer(
    name=f"flink-{FLINK_VERSION}",
    sources=HERE / "flink",
    main="FlinkPeer",
    coordinates=(
        f"org.apache.flink:flink-clients:{FLINK_VERSION}",  # with it the local cluster
        f"org.apache.flink:flink-connector-base:{FLINK_VERSION}",
        "org.apache.flink:flink-connector-kafka:4.0.1-2.0",  # it brings its own Kafka client, 3.9.1
        "org.slf4j:slf4j-simple:1.7.36",
    ),
    megabytes=104,
    # Flink's own start script opens these to it; no counters in a file, which a kill would leave behind.
    options=(
        *OPTIONS,
        "-XX:-UsePerfData",
        *(f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in ("java.lang", "java.util", "java.time")),
    ),
)


def _compiled(java: Path, peer: JavaPeer, jars: Path) -> Path:
    sources = [*sorted(SHARED.glob("*.java")), *sorted(peer.sources.glob("*.java"))]
    digest = hashlib.sha256(b"\0".join([repr(peer.coordinates).encode(), *(each.read_bytes() for each in sources)]))
    classes = cache_dir() / f"bench-{peer.name}-classes-{digest.hexdigest()[:16]}"
    if classes.is_dir():
        return classes
    compiler = cache_dir() / f"bench-ecj-{COMPILER_VERSION}"
    if not compiler.is_dir():
        fetch_jars(compiler, [f"org.eclipse.jdt:ecj:{COMPILER_VERSION}"], "a Java compiler for the bench", 3, WITHOUT)
    with tempfile.TemporaryDirectory(prefix=f"{classes.name}.partial-", dir=classes.parent) as scratch:
        complete = Path(scratch) / "classes"
        done = subprocess.run(
            [
                str(java),
                *("-cp", f"{compiler}/*", "org.eclipse.jdt.internal.compiler.batch.Main"),
                *("-source", LANGUAGE, "-target", LANGUAGE, "-proc:none"),
                *("-cp", ":".join(map(str, sorted(jars.glob("*.jar")))), "-d", str(complete)),
                *map(str, sources),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise UserError(f"{peer.name} can't be compiled:\n{done.stdout}{done.stderr}")
        try:
            complete.rename(classes)
        except OSError:
            if not classes.is_dir():  # somebody else was faster: theirs is as good
                raise
    return classes
