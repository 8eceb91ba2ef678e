"""`everycent topics`."""

import asyncio
from typing import Annotated

import orjson
import typer
from rich.console import Console
from rich.table import Column, Table

from schemas.topics import TOTALS_PARTITIONS_MAX
from streams.cli.groups import Group
from streams.engine.access import ROLE_COMMANDS, AccessRole, acl_commands, rights
from streams.errors import UserError
from streams.logs import configure_logs
from streams.settings import Settings, load_settings

topics = typer.Typer(
    help="Make the topics, list them, or print the rights on them.",
    cls=Group,
    no_args_is_help=True,
    rich_markup_mode=None,
)

AsJson = Annotated[bool, typer.Option("--json", help="One JSON object a line.")]


@topics.command()
def create(
    *,
    partitions: Annotated[
        int | None,
        typer.Option(min=1, max=10_000, help="Of each topic. By default EVERYCENT_PARTITIONS, which is 8 if not set."),
    ] = None,
    totals_partitions: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=10_000,
            help=f"Of project-deltas and project-totals. By default as many, but {TOTALS_PARTITIONS_MAX} at most: "
            "commits get dearer with each.",
        ),
    ] = None,
    replication: Annotated[int, typer.Option(min=1, max=10, help="Copies of each record, on as many brokers.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Make every topic that is missing. Safe to repeat; what is there is never changed.

    Example: everycent topics create --partitions 16 --replication 3
    """
    from streams.engine.topic_admin import create_topics  # noqa: PLC0415 - it brings aiokafka, other commands wait

    settings = _start()
    states = asyncio.run(create_topics(settings, partitions, replication, totals_partitions=totals_partitions))
    if as_json:
        for state in states:
            print(orjson.dumps(state._asdict()).decode())
        return
    table = Table("topic", Column("partitions", justify="right"), "state")
    for state in states:
        table.add_row(state.name, str(state.partitions), "created" if state.created else "there already")
    Console().print(table)


@topics.command(name="list")
def list_(*, as_json: AsJson = False) -> None:
    """List the deployment's topics with their partition counts.

    Example: EVERYCENT_TOPIC_PREFIX=staging- everycent topics list
    """
    from schemas.topics import Topic  # noqa: PLC0415
    from streams.engine.topic_admin import existing_topics  # noqa: PLC0415

    settings = _start()
    existing = asyncio.run(existing_topics(settings))
    rows = [(settings.topics.name(topic), existing.get(topic)) for topic in Topic]
    if as_json:
        for name, partitions in rows:
            print(orjson.dumps({"name": name, "partitions": partitions}).decode())
        return
    table = Table("topic", Column("partitions", justify="right"))
    for name, partitions in rows:
        table.add_row(name, "missing" if partitions is None else str(partitions))
    Console().print(table)


@topics.command()
def acls(
    *,
    role: Annotated[AccessRole | None, typer.Option(help="Only this role; without it: all of them.")] = None,
    principal: Annotated[
        str | None,
        typer.Option(metavar="TYPE:NAME", help="Who has the role; without it: User: and the role's name."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print the rights that each role needs on a broker with ACLs, as commands of Kafka's own tool. Changes nothing.

    Asks no broker. The rights are those of this deployment: EVERYCENT_TOPIC_PREFIX and EVERYCENT_APP_ID count.

    Example: everycent topics acls --role worker --principal User:everycent-worker
    """
    if principal is not None and role is None:
        raise UserError("--principal: say with --role which role it has.")
    if principal is not None and not all(principal.partition(":")):
        raise UserError(f"--principal {principal!r} is not of the form TYPE:NAME, such as User:everycent.")
    settings = load_settings()
    for each in [role] if role else AccessRole:
        who = principal or f"User:{each}"
        if as_json:
            for right in rights(each, settings):
                pattern = "prefixed" if right.prefixed else "literal"
                row = {"role": each, "principal": who, "pattern": pattern, **right._asdict()}
                del row["prefixed"]
                print(orjson.dumps(row).decode())
            continue
        print(f"# {each}: everycent {ROLE_COMMANDS[each]}")
        print(*acl_commands(each, settings, who), sep="\n")


def _start() -> Settings:
    settings = load_settings()
    configure_logs(settings)
    return settings
