"""What is generated from the metrics: `python -m streams.monitoring` writes it, `--check` compares."""

import argparse
import sys
from pathlib import Path

from streams.monitoring.dashboard import dashboard_json
from streams.monitoring.page import metrics_page

ROOT = Path(__file__).parents[2]


def documents() -> dict[str, str]:
    """Every generated file: its path in the repository, and its text."""
    return {"docs/metrics.md": metrics_page(), "deploy/grafana/dashboards/everycent.json": dashboard_json()}


def drift(root: Path) -> list[str]:
    """What differs between the files and the code, one line each; empty if nothing does."""
    return [
        f"{name} isn't what the code says"
        for name, text in documents().items()
        if not (root / name).is_file() or (root / name).read_text(encoding="utf-8") != text
    ]


def main(arguments: list[str] | None = None) -> int:
    """Write the files, or check them. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m streams.monitoring", description="What the metrics are made into.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 where the files have drifted")
    parser.add_argument("--root", type=Path, default=ROOT, help="the repository")
    options = parser.parse_args(arguments)
    if not options.check:
        for name, text in documents().items():
            (options.root / name).parent.mkdir(parents=True, exist_ok=True)
            (options.root / name).write_text(text, encoding="utf-8")
        return 0
    lines = drift(options.root)
    for line in lines:
        print(line, file=sys.stderr)
    if lines:
        print("Run `make generated` and commit what it writes.", file=sys.stderr)
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
