"""`everycent projects import` on the real broker."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer

from schemas.project import decode_project
from streams.engine.reader import open_reader
from streams.errors import UserError
from streams.projects import ImportReport, ProjectFileError, import_projects
from streams.settings import child_environment

PROJECTS = Path(__file__).parents[1] / "serve" / "projects.csv"


async def records(settings):
    """Every record of the topic, in its order."""
    async with open_reader(settings) as reader:
        return [
            (record.key, decode_project(record.value))
            async for batch in reader.read(settings.topics.projects, 0)
            for record in batch
        ]


async def test_a_file_is_imported_once_and_then_only_what_differs(topics, tmp_path):
    assert await import_projects(topics, PROJECTS, dry_run=True) == ImportReport(3, 0, 0)
    assert await records(topics) == []
    assert await import_projects(topics, PROJECTS) == ImportReport(3, 0, 0)
    assert await import_projects(topics, PROJECTS) == ImportReport(0, 0, 3)
    changed = tmp_path / "more.JSON"
    changed.write_text(json.dumps([{"id": "P00003", "name": "一间图书室"}, {"id": "P4", "name": "x", "goal": 0.5}]))
    assert await import_projects(topics, changed) == ImportReport(1, 1, 0)
    written = await records(topics)
    assert [key for key, _ in written] == [b"P00001", b"P00002", b"P00003", b"P00003", b"P4"]
    assert all(project.project_id.encode() == key for key, project in written)
    assert written[1][1].goal_fen == 500_000_050
    assert written[4][1].goal_fen == 50


async def test_a_file_with_one_bad_row_writes_nothing(topics, tmp_path):
    bad = tmp_path / "bad.csv"
    bad.write_text("id,name,goal\nP1,good,1\nP2,,x\n")
    with pytest.raises(ProjectFileError, match="2 faults, so nothing was written") as refused:
        await import_projects(topics, bad)
    assert [fault.row for fault in refused.value.faults] == [3, 3]
    assert await records(topics) == []


async def test_a_record_that_is_no_project_is_written_anew(topics):

    async with AIOKafkaProducer(bootstrap_servers=topics.broker) as producer:
        await producer.send_and_wait(topics.topics.projects, b"{", key=b"P00001")
    assert await import_projects(topics, PROJECTS) == ImportReport(3, 0, 0)


@pytest.mark.parametrize(("name", "text"), [("missing.csv", "No such file"), ("projects.txt", "neither a .csv nor")])
async def test_a_file_that_cant_be_read_is_one_line(settings, tmp_path, name, text):
    with pytest.raises(UserError, match=text):
        await import_projects(settings, tmp_path / name)


async def test_the_command_tells_every_row_that_is_wrong_and_what_was_done(topics, tmp_path):
    bad = tmp_path / "bad.csv"
    bad.write_text("id,name\nP|1,a\nP2,\n")

    def run(*arguments):
        command = [sys.executable, "-m", "streams.cli", "projects", "import", *map(str, arguments)]
        return subprocess.run(command, env=child_environment(topics), capture_output=True, text=True, check=False)

    refused = run(bad)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.splitlines() == [
        "row 2: id: control characters and | may not stand in it",
        "row 3: name: is missing",
        f"everycent: {bad}: 2 faults, so nothing was written",
    ]
    assert [fault["row"] for fault in json.loads(run(bad, "--json").stdout)["faults"]] == [2, 3]
    assert run(PROJECTS, "--dry-run").stdout == "3 would be added, 0 would be changed, 0 as they are.\n"
    assert run(PROJECTS).stdout == "3 added, 0 changed, 0 as they are.\n"
    assert json.loads(run(PROJECTS, "--json").stdout) == {"dry_run": False, "added": 0, "changed": 0, "unchanged": 3}
