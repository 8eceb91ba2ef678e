import re
from pathlib import Path

import click
import pytest
import typer
from pydantic import SecretStr

import schemas.limits
import streams.connections
import streams.engine.limits
import streams.serve.limits
from schemas.donation import decode_donation
from schemas.order import OrderCompleted, decode_order
from schemas.project import decode_project
from schemas.rejection import Reason
from schemas.topics import Topic
from schemas.totals import decode_total
from streams.cli import app
from streams.engine.commit import Step
from streams.settings import PREFIX, Settings

ROOT = Path(__file__).parents[1]
DOCUMENTS = (
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "docs/contract.md",
    "docs/growth.md",
    "docs/scale.md",
    "docs/testing.md",
    "docs/security.md",
    "docs/metrics.md",
    "docs/runbook.md",
    "docs/serve.md",
    "docs/ledger.md",
    "docs/receipts.md",
    "docs/witnesses.md",
)
TEXTS = {name: (ROOT / name).read_text(encoding="utf-8") for name in DOCUMENTS}
README, ARCHITECTURE, CONTRACT = TEXTS["README.md"], TEXTS["ARCHITECTURE.md"], TEXTS["docs/contract.md"]
FOLDERS = ("schemas", "streams", "tests")
TESTS = "\n".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "tests").rglob("test_*.py")))


def table(text, header):
    """The rows of the first table whose header begins so: lists of cells."""
    lines = iter(text.splitlines())
    assert any(line.startswith(header) for line in lines), f"no table {header!r}"
    next(lines)
    rows = []
    for line in lines:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
    return rows


def code(cell):
    """What stands between the first two backticks."""
    return cell.split("`")[1]


def shown(value):
    plain = value.get_secret_value() if isinstance(value, SecretStr) else value
    return "(empty)" if plain == "" else f"`{plain}`"


def commands():
    """Every command of the command line, by its full name."""
    found = {}

    def walk(command, words):
        if isinstance(command, click.Group) or hasattr(command, "commands"):
            for name, inner in command.commands.items():
                walk(inner, [*words, name])
        else:
            found[" ".join(words)] = {option for each in command.params for option in each.opts}

    walk(typer.main.get_command(app), ["everycent"])
    return found


def anchors(text):
    """What a heading is called in a link, as GitHub does it."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_settings_table_is_what_the_settings_are():
    rows = {code(name): default for name, default, _ in table(README, "| setting |")}
    assert rows == {f"{PREFIX}{name.upper()}": shown(field.default) for name, field in Settings.model_fields.items()}


def test_every_command_stands_in_the_readme_with_options_that_it_has():
    rows = [code(name) for name, _ in table(README.split("## Everyday commands")[1], "| command |")]
    named = {re.match(r"everycent( [a-z][a-z-]*)+", row).group(): set(re.findall(r"--[a-z-]+", row)) for row in rows}
    assert named.keys() == commands().keys()
    for name, options in commands().items():
        assert named[name] <= options, name


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_link_leads_somewhere(name):
    for target in re.findall(r"\]\(([^)]+)\)", TEXTS[name]):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        file = (ROOT / name).parent / path if path else ROOT / name
        assert file.exists(), target
        if anchor:
            assert anchor in anchors(file.read_text(encoding="utf-8")), target


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_test_file_and_make_target_that_is_named_exists(name):
    for test in re.findall(r"`(test_\w+)`", TEXTS[name]):
        assert f"def {test}(" in TESTS, test
    files = [str(path.relative_to(ROOT)) for top in FOLDERS for path in (ROOT / top).rglob("*.py")]
    for file in re.findall(r"(?<![\w/.])[\w/]+\.py\b", TEXTS[name]):
        assert any(f"/{path}".endswith(f"/{file}") for path in files), file
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert set(re.findall(r"`make ([a-z]+)", TEXTS[name])) <= set(targets)


@pytest.mark.parametrize(
    ("section", "limits"),
    [
        ("Of the engine", streams.engine.limits),
        ("Of the contract", schemas.limits),
        ("Of ports", streams.connections),
        ("Of the server", streams.serve.limits),
    ],
    ids=["engine", "contract", "ports", "server"],
)
def test_the_limits_are_those_of_the_code(section, limits):
    text = ARCHITECTURE.split("## Limits")[1].split(section)[1]
    rows = {code(name): value for name, value, _ in table(text, "| limit |")}
    values = {name: value for name, value in vars(limits).items() if name.isupper()}
    assert rows == {name: str(value).strip("()") for name, value in values.items()}


@pytest.mark.parametrize("text", [README, CONTRACT], ids=["readme", "contract"])
def test_the_examples_are_records_of_the_contract(text):
    examples = re.findall(r"^```json\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    assert len(examples) == (2 if text is README else 4)
    read = {
        '{"donation_id"': decode_donation,
        '{"project_id": "P0001", "window"': decode_total,
        '{"project_id": "P0001", "name"': decode_project,
        '{"order_id"': lambda value: decode_order(b"b350371", value),
    }
    for example in examples:
        decode = next(decode for start, decode in read.items() if example.startswith(start))
        assert isinstance(decode(example.encode()), OrderCompleted) or not example.startswith('{"order_id"')


def test_the_contract_names_every_topic_and_every_reason_in_its_order():
    assert {code(row[0]) for row in table(CONTRACT, "| topic |")} == set(Topic)
    assert [code(reason) for reason, _ in table(CONTRACT, "| reason | the order |")] == list(Reason)


def test_the_steps_of_a_commit_stand_in_their_order():
    section = ARCHITECTURE.split("## The commit")[1]
    steps = re.findall(r"^\d\. \*\*(.+?)\.\*\*", section, re.MULTILINE)
    assert [step.upper().replace(" ", "_") for step in steps] == [step.name for step in Step]
