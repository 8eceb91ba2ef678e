"""`everycent audit`: whether every cent is there, once."""

import asyncio
import gc
import json
import traceback
from typing import Annotated

import typer
from rich.console import Console

from streams.errors import ExitStatus, UserError
from streams.following import follow_workers
from streams.logs import configure_logs
from streams.settings import load_settings
from streams.views.audit import run_audit
from streams.views.audit_screen import AuditProgress, print_report

WAIT_S_MAX = 86_400
GC_THRESHOLD = 200_000  # records come and go by ten thousands and hold no cycles: looking for some takes a third more
DEFAULT_WAIT_S = 10  # a commit and a look-up or two: whoever audits right after a load needn't think of it


def audit(
    *,
    wait: Annotated[
        int,
        typer.Option(
            min=0, max=WAIT_S_MAX, metavar="SECONDS", help="How long to wait for orders and sums that are on their way."
        ),
    ] = DEFAULT_WAIT_S,
    follow: Annotated[
        bool,
        typer.Option("--follow", help="Follow the workers until a signal, and tell up to where all is conserved."),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="The verdict as one JSON object; with --follow one a line, and each finding.")
    ] = False,
) -> None:
    """Re-derive every donation and total from the orders and compare, to the fen.

    Exit status: 0 conserved, 1 not conserved, 2 could not tell (no broker, missing topics, or orders that the workers
    haven't finished; what is finished has been checked even then). Workers may go on running meanwhile.

    With --follow it begins at the oldest records and never ends: metrics on EVERYCENT_METRICS_PORT, a line of status
    every 30 seconds, one for each difference. On a signal it ends with 0 if it has found none, else with 1.

    Examples: everycent audit --wait 60 --json; everycent audit --follow
    """
    settings = load_settings()
    configure_logs(settings)
    gc.set_threshold(GC_THRESHOLD)
    if follow:
        raise typer.Exit(int(asyncio.run(follow_workers(settings, as_json=as_json))))
    try:
        with AuditProgress() as progress:
            report = asyncio.run(run_audit(settings, wait_s=wait, progress=progress))
    except UserError:
        raise
    except KeyboardInterrupt:
        raise UserError("interrupted before the end: could not tell") from None
    except Exception as error:  # Python would exit with 1, which here says that money is missing
        traceback.print_exc()
        raise typer.Exit(int(ExitStatus.UNUSABLE)) from error
    if as_json:
        print(json.dumps(report.to_json(), ensure_ascii=False))
    else:
        print_report(report, Console())
    raise typer.Exit(int(report.exit_status))
