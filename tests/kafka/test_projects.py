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
from streams.projects import FAULTS_KEPT, ImportReport, ProjectFileError, import_projects
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


async def test_a_long_file_is_written_whole_and_in_its_order_and_again_it_writes_nothing(topics, tmp_path):
    """Longer than what is read, or sent, at once."""
    rows = [{"id": f"P{at}", "name": f"project {at}", "description": "d" * 200} for at in range(2_500)]
    long = tmp_path / "long.json"
    long.write_text(json.dumps(rows))
    assert await import_projects(topics, long) == ImportReport(2_500, 0, 0)
    assert [key for key, _ in await records(topics)] == [row["id"].encode() for row in rows]
    rows[2_000]["name"] = "another"
    long.write_text(json.dumps([*rows, {"id": "P9999", "name": "new"}], indent=1))
    assert await import_projects(topics, long) == ImportReport(1, 1, 2_499)
    assert len(await records(topics)) == 2_502


async def test_of_many_faults_the_first_are_kept_and_all_are_counted(topics, tmp_path):
    bad = tmp_path / "bad.csv"
    bad.write_text("id,name\n" + ",\n" * 3 + "P|1,\n" * (FAULTS_KEPT + 5))
    with pytest.raises(ProjectFileError, match=f"{2 * (FAULTS_KEPT + 5):,} faults, so nothing was written") as refused:
        await import_projects(topics, bad)
    assert len(refused.value.faults) == FAULTS_KEPT
    assert refused.value.count == 2 * (FAULTS_KEPT + 5)
