"""Builds `verify.html`: the page that checks receipts in a browser, all in one file that needs no network. Pure.

What a person reads in the file is the source itself: the modules of `page/` one after another, without their imports
and exports. Its policy (Content-Security-Policy) lets nothing run but this very script, by its hash, and lets it talk
to nobody; so does `policy`, for whoever serves the file under a policy of their own.
"""

import base64
import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources

from streams.ledger.notes import VerifierKey

MODULES = ("bytes.js", "notes.js", "receipt.js", "words.js", "page.js")  # each needs only what stands before it
_IMPORT = re.compile(r'^import \{[^}]*\} from "\./([a-z]+\.js)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:function|class|const) )", re.MULTILINE)
_NAME = re.compile(r"^(?:export )?(?:async )?(?:function|class|const|let) (\w+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class BuiltPage:
    """The file, and the policy that it bears."""

    content: bytes
    policy: str


def build_page(keys: Sequence[VerifierKey] = ()) -> BuiltPage:
    """The page with `keys` in it, the same bytes each time. Raises ValueError where its source can't be joined."""
    script = f"const BUILT_IN_KEYS = {_script_json([str(key) for key in keys])};\n\n{_join_modules()}"
    style = f"{_live_page_style()}\n{_source('style.css')}"
    if "</" in script or "</" in style:
        raise ValueError("the page's source holds what would end it within HTML")
    policy = (
        f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    page = _source("page.html")
    for place, text in (("policy", policy), ("style", style), ("script", script)):
        before, mark, after = page.partition(f"{{{{{place}}}}}")
        if not mark:
            raise ValueError(f"page.html has no place for its {place}")
        page = f"{before}{text}{after}"
    return BuiltPage(page.encode(), policy)


def _join_modules() -> str:
    """The modules as one: imports go, so names must differ and each module must stand behind those that it needs."""
    parts: list[str] = []
    names: set[str] = set()
    done: set[str] = set()
    for module in MODULES:
        source = _source(module)
        if missing := set(_IMPORT.findall(source)) - done:
            raise ValueError(f"{module} needs {missing}, which must stand before it")
        own = _NAME.findall(source)
        if twice := names.intersection(own):
            raise ValueError(f"{module} has names that another module has, too: {twice}")
        source = _EXPORT.sub("", _IMPORT.sub("", source))
        if re.search(r"^(?:import|export)\b", source, re.MULTILINE):
            raise ValueError(f"{module} imports or exports in a way that can't be joined")
        names.update(own)
        done.add(module)
        parts.append(f"// --- {module}\n{source}")
    return "\n".join(parts)


def _script_json(value: object) -> str:
    return json.dumps(value, indent=2).replace("<", "\\u003c")


def _source(name: str) -> str:
    return (resources.files("streams.verify_page") / "page" / name).read_text(encoding="utf-8")


def _live_page_style() -> str:
    """What both pages look like; read as a file, as nothing of the server is needed here."""
    return (resources.files("streams") / "serve" / "page" / "shared.css").read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
