"""The projects' names, read from `projects`: reference data, so who has none shows ids. Reads only; nothing is kept."""

import msgspec
from aiokafka.errors import KafkaError

from schemas.project import decode_project
from streams.engine.reader import open_reader
from streams.errors import UserError
from streams.settings import Settings


async def read_names(settings: Settings) -> dict[str, str]:
    """The name of each project that has one, by its id. Raises UserError: no broker, no such topic, no right to it."""
    topic = settings.topics.projects
    newest: dict[bytes | None, bytes | None] = {}
    try:
        async with open_reader(settings) as reader:
            for partition in await reader.partitions(topic):
                async for records in reader.read(topic, partition):
                    newest |= {record.key: record.value for record in records}
    except (KafkaError, OSError) as error:
        raise UserError(f"the broker stopped answering ({type(error).__name__}: {error})") from error
    names = {}
    for key, value in newest.items():
        try:
            project = decode_project(value or b"")
        except msgspec.DecodeError:
            continue  # or a tombstone
        if project.project_id.encode() == key:
            names[project.project_id] = project.name
    return names
