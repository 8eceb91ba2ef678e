"""What others wrote and the page carries along is, byte for byte, what their packages hold."""

import base64
import hashlib
import json
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

VENDOR = Path(__file__).parents[2] / "streams" / "serve" / "page" / "vendor"
PACKAGES = json.loads((VENDOR / "vendored.json").read_text(encoding="utf-8"))
NAMES = [package["package"] for package in PACKAGES]


def integrity(content):
    return f"sha512-{base64.b64encode(hashlib.sha512(content).digest()).decode()}"


@pytest.mark.parametrize("package", PACKAGES, ids=NAMES)
def test_every_file_is_the_one_that_was_recorded(package):
    folder = VENDOR / package["folder"]
    assert {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} == set(package["files"])
    for name, recorded in package["files"].items():
        assert integrity((folder / name).read_bytes()) == recorded["integrity"], name


def test_nothing_else_lies_there_and_each_has_its_licence():
    folders = {path.name for path in VENDOR.iterdir() if path.is_dir()}
    assert folders == {package["folder"] for package in PACKAGES}
    assert all("LICENSE" in package["files"] for package in PACKAGES)


@pytest.mark.parametrize("package", PACKAGES, ids=NAMES)
def test_the_registry_gives_the_same_package_with_the_same_checksum(package, tmp_path):
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("no npm here, so the registry can't be asked; the recorded checksums were checked all the same")
    name = f"{package['package']}@{package['version']}"
    try:
        subprocess.run([npm, "pack", "--silent", name], cwd=tmp_path, capture_output=True, check=True, timeout=300)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        pytest.skip(f"npm gives no {name}, so the recorded checksums alone were checked: {error}")
    archives = list(tmp_path.glob("*.tgz"))
    assert integrity(archives[0].read_bytes()) == package["integrity"]
    with tarfile.open(archives[0]) as archive:
        for recorded in package["files"].values():
            member = archive.extractfile(f"package/{recorded['from']}")
            assert integrity(member.read()) == recorded["integrity"]
