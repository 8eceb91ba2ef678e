"""Renders the manifests with the real kustomize and holds each object to the schema that its server holds it to."""

import copy
import json
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate
import yaml
from jsonschema import Draft202012Validator

from tests.needs import need

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy/kubernetes"
KUBERNETES_VERSION = "1.34"
CRDS = {
    path.stem: yaml.load(path.read_text("utf-8"), yaml.CSafeLoader)
    for path in sorted(Path(__file__).parent.glob("crds/*.yaml"))
}


@cache
def _rendered(folder: str) -> list[dict[str, Any]]:
    program = need("kustomize", "kubectl", why="render the Kubernetes manifests")
    command = [program, "build"] if program.endswith("kustomize") else [program, "kustomize"]
    done = subprocess.run([*command, str(FOLDER / folder)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return list(yaml.load_all(done.stdout, yaml.CSafeLoader))


def rendered(folder: str) -> list[dict[str, Any]]:
    """The objects of a kustomization, as `kubectl apply -k` would send them."""
    return copy.deepcopy(_rendered(folder))


def one(objects: list[dict[str, Any]], kind: str, name: str = "") -> dict[str, Any]:
    """The only object of a kind, or the one of that kind and name."""
    (found,) = [each for each in objects if each["kind"] == kind and name in {"", each["metadata"]["name"]}]
    return found


def problems(found: dict[str, Any]) -> list[str]:
    """What a server would refuse, or silently drop: unknown fields count too."""
    group, _, version = found["apiVersion"].rpartition("/")
    for crd in CRDS.values():
        spec = crd["spec"]
        if (spec["group"], spec["names"]["kind"]) == (group, found["kind"]):
            (schema,) = [each["schema"]["openAPIV3Schema"] for each in spec["versions"] if each["name"] == version]
            schema = strict(schema)
            schema["properties"]["metadata"] = {"type": "object"}
            return [f"{at.json_path}: {at.message}" for at in Draft202012Validator(schema).iter_errors(found)]
    try:
        kubernetes_validate.validate(found, KUBERNETES_VERSION, strict=True)
    except kubernetes_validate.ValidationError as error:
        return [f"{list(error.path)}: {error.message}"]
    return []


def strict(schema: dict[str, Any]) -> dict[str, Any]:
    """A structural schema as JSON Schema that refuses what a server would drop."""
    made: dict[str, Any] = json.loads(json.dumps(schema), object_hook=_strict_object)
    return made


def _strict_object(found: dict[str, Any]) -> dict[str, Any]:
    if found.get("x-kubernetes-int-or-string"):
        return {"type": ["integer", "string"]}
    if isinstance(found.get("properties"), dict) and not found.get("x-kubernetes-preserve-unknown-fields"):
        found.setdefault("additionalProperties", False)
    return found
