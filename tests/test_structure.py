import ast
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LINES_MAX = 400
FUNCTION_LINES_MAX = 70


def module_name(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {
    module_name(path): path for package in ("schemas", "streams") for path in sorted((ROOT / package).rglob("*.py"))
}
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in MODULES.items()}

# What stands below all layers. These know each other, the contract, and nothing else of ours.
FOUNDATION = ("streams.errors", "streams.settings", "streams.logs", "streams.metrics", "streams.metrics_server")

SUPERVISION = ("streams.supervision", "streams.metrics_service")

# schemas <- domain <- engine <- agents <- worker, cli. Who isn't named here (worker, simulation, demo, ...) puts things
# together and may import all but the command line.
MAY_IMPORT = {
    "schemas": ("schemas",),
    **dict.fromkeys(FOUNDATION, ("schemas", "streams.errors", "streams.settings")),
    "streams.connections": (),
    "streams.metrics_service": ("schemas", "streams.metrics"),
    # What stands beside the loops of whatever isn't a worker.
    "streams.supervision": ("streams.engine.watchdog", "streams.engine.limits", *FOUNDATION),
    "streams.domain": ("schemas", "streams.domain"),
    # The rules once more, in Rust, and what stands in for them where that isn't installed: as pure as the domain.
    "streams.native": ("schemas", "streams.domain", "streams.native"),
    "streams.engine": ("schemas", "streams.domain", "streams.engine", "streams.native", *FOUNDATION),
    "streams.agents": ("schemas", "streams.domain", "streams.engine", "streams.agents", "streams.native", *FOUNDATION),
    # Readers of the truth: of the engine only what reads, so that looking can't change anything.
    "streams.views": (
        *("schemas", "streams.domain", "streams.views", "streams.settings", "streams.errors"),
        *("streams.engine.reader", "streams.engine.connection", "streams.engine.refusals"),
    ),
    "streams.serve": (
        *("schemas", "streams.domain", "streams.serve", *FOUNDATION),
        *("streams.engine.reader", "streams.engine.connection", "streams.connections", *SUPERVISION),
        # For donors: their receipts, and the page that checks them. No keys, no followers.
        *("streams.ledger", "streams.verify_page", "streams.ledger_service.receipts"),
    ),
    # The public ledger: rules as pure as the domain's, and the files, keys and followers that live by them.
    "streams.ledger": ("schemas", "streams.ledger"),
    "streams.verify_page": ("schemas", "streams.ledger", "streams.verify_page"),
    "streams.ledger_service": (
        *("schemas", "streams.domain", "streams.ledger", "streams.engine", "streams.ledger_service", "streams.native"),
        *("streams.connections", *FOUNDATION, *SUPERVISION),
    ),
    "streams.cli": ("schemas", "streams"),
}

# Pure rules: no clock, no network, no chance, no files. The rest of the standard library is at hand.
IMPURE = {
    *(
        "asyncio",
        "concurrent",
        "multiprocessing",
        "threading",
        "subprocess",
        "signal",
        "socket",
        "ssl",
        "http",
        "urllib",
    ),
    *("os", "io", "pathlib", "shutil", "tempfile", "sqlite3", "sys", "logging", "time", "random", "secrets", "uuid"),
}
PURE_LIBRARIES = {"streams.domain": {"msgspec", "numpy"}, "streams.ledger": {"msgspec", "cryptography"}}
CLOCKS = {"now", "today", "utcnow"}  # of datetime; the module `time` can't be imported at all
SEEDED = {"Generator", "PCG64", "PCG64DXSM", "Philox", "SFC64", "SeedSequence", "default_rng"}

READS_ENVIRONMENT = {
    "streams.engine.broker_runtime": "XDG_CACHE_HOME says where a person keeps caches; it's no setting of ours",
}

# The audit derives everything a second time, so it may share none of what it checks (it has rules of its own).
CHECKED_BY_AUDIT = {
    f"streams.domain.{name}"
    for name in ("programme", "split", "dedupe", "packed_ids", "windows", "totals", "watermark")
}


def imports(name: str) -> Iterator[str]:
    """Every module that module `name` imports, anywhere in it; ours down to the module, also if imported by name."""
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}: imports are written in full"
            assert node.module
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in MODULES else node.module


def is_within(name, layer):
    return name == layer or name.startswith(f"{layer}.")


def rules_of(name):
    """What `name` may import: the rule of the innermost layer that it's in, or None for all but the command line."""
    layers = [layer for layer in MAY_IMPORT if is_within(name, layer)]
    return MAY_IMPORT[max(layers, key=len)] if layers else None


def forbidden_imports(name):
    allowed = rules_of(name)
    for found in imports(name):
        if found.split(".")[0] not in {"schemas", "streams"} or found == "streams":  # `streams` itself: the version
            continue
        if allowed is None:
            if is_within(found, "streams.cli"):
                yield found
        elif not any(is_within(found, layer) for layer in allowed):
            yield found


def is_standard(top):
    return top in sys.stdlib_module_names


def reached_from(names):
    """All of our modules that `names` import, and what those import, to the end."""
    reached, todo = set(), list(names)
    while todo:
        name = todo.pop()
        if name in MODULES and name not in reached:
            reached.add(name)
            todo.extend(imports(name))
    return reached


def dotted(node):
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else "?"


def impure_calls(tree):
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        called = dotted(node.func)
        last = called.rpartition(".")[2]
        if called in {"open", "print", "input"} or ("." in called and last in CLOCKS):
            yield f"line {node.lineno}: {called}()"
        elif last == "default_rng" and not (node.args or node.keywords):
            yield f"line {node.lineno}: {called}() without a seed"
        elif ".random." in called and last not in SEEDED:
            yield f"line {node.lineno}: {called}() draws from a hidden state"


def environment_reads(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in {"environ", "environb", "getenv", "getenvb"}:
            yield f"line {node.lineno}: {dotted(node)}"
        elif isinstance(node, ast.ImportFrom) and node.module == "os":
            yield from (f"line {node.lineno}: {at.name}" for at in node.names if "env" in at.name)


@pytest.mark.parametrize("name", MODULES)
def test_imports_go_one_way(name):
    assert list(forbidden_imports(name)) == []


@pytest.mark.parametrize(
    ("layer", "name"), [(layer, name) for layer in PURE_LIBRARIES for name in MODULES if is_within(name, layer)]
)
def test_the_domain_and_the_ledgers_rules_are_pure(layer, name):
    tops = {found.split(".")[0] for found in imports(name)}
    assert not tops & IMPURE
    libraries = {top for top in tops if top not in {"schemas", "streams", "__future__"}}
    outside = {top for top in libraries - PURE_LIBRARIES[layer] if not is_standard(top)}
    assert not outside
    assert list(impure_calls(TREES[name])) == []


@pytest.mark.parametrize("name", [name for name in MODULES if is_within(name, "schemas")])
def test_the_contract_needs_msgspec_alone(name):
    tops = {found.split(".")[0] for found in imports(name)}
    assert {top for top in tops if not is_standard(top)} <= {"schemas", "msgspec"}


def test_faust_stays_below_the_worker():
    using = [name for name in MODULES if "faust" in {found.split(".")[0] for found in imports(name)}]
    assert [name for name in using if name.split(".")[1] not in {"engine", "agents", "worker"}] == []


def test_the_audit_shares_no_rule_with_what_it_checks():
    audit = [name for name in MODULES if name.startswith(("streams.domain.audit", "streams.views.audit"))]
    assert audit
    assert reached_from(audit) & CHECKED_BY_AUDIT == set()


def test_only_the_settings_read_the_environment():
    reading = {name: found for name, tree in TREES.items() if (found := list(environment_reads(tree)))}
    allowed = {"streams.settings", *READS_ENVIRONMENT}
    assert {name: found for name, found in reading.items() if name not in allowed} == {}
    assert set(READS_ENVIRONMENT) <= set(reading), "an exception that is no longer needed"


@pytest.mark.parametrize(
    "path",
    sorted(path for folder in ("schemas", "streams", "tests") for path in (ROOT / folder).rglob("*.py")),
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_files_and_functions_are_small(path):
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= LINES_MAX
    functions = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    long = [node.name for node in functions if (node.end_lineno or 0) - node.lineno + 1 > FUNCTION_LINES_MAX]
    assert long == []


@pytest.mark.parametrize("name", MODULES)
def test_every_module_says_what_it_is_for(name):
    if TREES[name].body:  # an empty package file has nothing to say
        assert ast.get_docstring(TREES[name])


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("datetime.date.today()", ["line 1: datetime.date.today()"]),
        ("datetime.now(UTC)", ["line 1: datetime.now()"]),
        ("open('x')", ["line 1: open()"]),
        ("np.random.default_rng()", ["line 1: np.random.default_rng() without a seed"]),
        ("np.random.default_rng(7)", []),
        ("np.random.rand(3)", ["line 1: np.random.rand() draws from a hidden state"]),
        ("np.random.Generator(np.random.PCG64(7)).integers(3)", []),
    ],
)
def test_the_search_for_clock_and_chance_finds_them(source, found):
    assert list(impure_calls(ast.parse(source))) == found


@pytest.mark.parametrize("source", ["import os\nos.environ['X']", "os.getenv('X')", "from os import environ"])
def test_the_search_for_the_environment_finds_it(source):
    assert list(environment_reads(ast.parse(source)))


def test_the_layers_stand_in_their_order():
    order = ["schemas", "streams.domain", "streams.engine", "streams.agents", "streams.cli"]
    for lower, upper in pairwise(order):
        assert any(is_within(lower, layer) for layer in MAY_IMPORT[upper])
        assert not any(is_within(upper, layer) for layer in MAY_IMPORT[lower])
