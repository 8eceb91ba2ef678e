import re
import subprocess
import sysconfig
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
FILE = ROOT / "deploy/Dockerfile"
LINES = FILE.read_text(encoding="utf-8").replace("\\\n", " ").splitlines()


def hadolint(path):
    program = Path(sysconfig.get_path("scripts")) / "hadolint"
    command = [program, "--no-color", "--ignore", "DL3008", path]  # versions of Debian's packages go away with fixes
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_linter_of_dockerfiles_finds_nothing():
    done = hadolint(FILE)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("FROM rust:1.90.0-slim-bookworm", "FROM rust"),
        ("WORKDIR /tmp", "WORKDIR tmp"),
        ("COPY pyproject.toml ./", "COPI x"),
    ],
)
def test_the_linter_finds_what_is_wrong(line, wrong, tmp_path):
    path = tmp_path / "Dockerfile"
    text = FILE.read_text(encoding="utf-8")
    assert line in text
    path.write_text(text.replace(line, wrong), encoding="utf-8")
    assert hadolint(path).returncode == 1


def test_every_base_is_slim_and_pinned_and_no_toolchain_is_in_what_runs():
    bases = [line.split()[1] for line in LINES if line.startswith("FROM ")]
    assert len(bases) == 3
    assert all(re.fullmatch(r"[a-z]+:\d+\.\d+\.\d+-slim-bookworm", base) for base in bases)
    last = LINES[max(n for n, line in enumerate(LINES) if line.startswith("FROM ")) :]
    assert [line for line in last if line.startswith("COPY ")] == ["COPY --from=build /opt/everycent /opt/everycent"]
    assert not [line for line in last if "apt-get" in line or "cargo" in line]


def test_the_image_asks_its_worker_for_its_health_and_ends_it_in_order():
    (check,) = [line for line in LINES if line.startswith("HEALTHCHECK ")]
    assert "/healthz" in check
    assert "EVERYCENT_METRICS_PORT" in check
    assert "STOPSIGNAL SIGTERM" in LINES


def test_what_has_no_metrics_port_is_not_asked_on_it():
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))["services"]
    ours = {name: service for name, service in services.items() if "build" in service}
    for name, service in ours.items():
        check = service.get("healthcheck", {})
        if "EVERYCENT_METRICS_PORT" in service["environment"] and service["command"] != ["ledger", "keygen"]:
            assert "/healthz" in check["test"][-1]
        else:
            assert check == {"disable": True}, name


def test_the_builder_gets_what_the_image_is_made_of_and_nothing_else():
    wanted = {line[1:] for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines() if line[:1] == "!"}
    copied = {
        name.removesuffix("/")
        for line in LINES
        if line.startswith("COPY ") and "--from" not in line
        for name in line.split()[1:-1]
    }
    assert copied == wanted
    assert all((ROOT / name).exists() for name in wanted)
