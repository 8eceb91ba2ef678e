"""We reach into Faust and aiokafka: their versions are checked before anything starts."""

from importlib.metadata import requires, version

from packaging.requirements import Requirement

from streams.errors import UserError

INNER_SEAMS = ("faust-streaming", "aiokafka")


def check_versions() -> None:
    """Raise UserError if a library whose inner seams we use isn't of the range that this project declares."""
    declared = {
        requirement.name: requirement for text in requires("everycent") or () if (requirement := Requirement(text))
    }
    for name in INNER_SEAMS:
        installed = version(name)
        if not declared[name].specifier.contains(installed, prereleases=True):
            raise UserError(
                f"{name} {installed} is installed, but this everycent works with {declared[name].specifier} only. "
                f"Install it with: pip install '{declared[name]}'"
            )
