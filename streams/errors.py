"""Errors that are a person's to mend, with the exit status that goes with each.

Anything else that is raised is a bug or an outage and keeps its traceback.
"""

from enum import IntEnum


class ExitStatus(IntEnum):
    """What a command's exit status means."""

    OK = 0
    NOT_CONSERVED = 1  # the audit found a difference
    UNUSABLE = 2  # wrong settings or arguments, no broker, missing topics; for the audit: could not tell
    FAILED = 3  # a worker gave up and wants its supervisor to start it again


class UserError(Exception):
    """Something that a person can mend: the message names the cause and the way out, in one line."""

    def __init__(self, message: str, exit_status: ExitStatus = ExitStatus.UNUSABLE) -> None:
        super().__init__(message)
        self.exit_status = exit_status


class BrokerUnavailableError(UserError):
    """No broker answers, or none that can. Whoever can wait tries again; a command ends with it."""


class AccessError(UserError):
    """The broker doesn't let us in, or denies a right: a person must mend that, to wait is of no use."""


def partitions_added(topic: str, partition: int, known: int) -> UserError:
    """A topic has more partitions than when the worker checked that all fit each other."""
    return UserError(
        f"{topic} has got partitions: number {partition} came up, and there were {known} when this worker started. It "
        "ends, to check them anew. A buyer's orders may lie on another partition now, where repeats aren't known: "
        "a new deployment with more partitions is safer.",
        ExitStatus.FAILED,
    )
