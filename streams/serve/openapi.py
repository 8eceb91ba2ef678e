"""The OpenAPI document, generated from the routes and from the very types that questions and answers are."""

from typing import Any

import msgspec
from msgspec import Struct

from streams import __version__
from streams.serve import answers
from streams.serve.routes import BASE, OPENAPI_PATH, ROUTES, STREAM_EVENTS, STREAM_PATH, STREAM_QUESTION

_REF = "#/components/schemas/{name}"
_PROBLEMS = {
    "400": "A parameter is wrong; `error` says which and how.",
    "404": "There is no such thing.",
    "503": "The totals are being read back after a start (`rebuilding` says how far), or too many watch.",
}
_ABOUT = """\
Running totals of donations, read from Kafka. Amounts are integers of fen (1/100 yuan), written out, and may pass 2^53:
read them as BigInt or decimals. Times are integers of milliseconds since the epoch, UTC. Every answer bears a weak
`ETag`, and `As-Of-Ms`: all that had been ordered by then is in it."""


def openapi_document() -> dict[str, Any]:
    """The whole document, OpenAPI 3.1."""
    shapes: list[type[Struct]] = [*(route.shape for route in ROUTES), *STREAM_EVENTS.values(), answers.Problem]
    questions: list[type[Struct]] = [*(route.question for route in ROUTES), STREAM_QUESTION]
    _, components = msgspec.json.schema_components([*shapes, *questions], ref_template=_REF)
    asked = {question.__name__: components.pop(question.__name__) for question in dict.fromkeys(questions)}
    paths: dict[str, Any] = {
        f"{BASE}{route.path}": _get(route.summary, asked[route.question.__name__], _json(route.shape))
        for route in ROUTES
    }
    events = " ".join(f"`{name}`: {shape.__name__}." for name, shape in STREAM_EVENTS.items())
    paths[STREAM_PATH] = _get(
        "Server-sent events: the newest state, again and again",
        asked[STREAM_QUESTION.__name__],
        {
            "description": f"{events} `reset`: the topics were made anew, what was shown no longer counts. An event's "
            "id is a position that only grows; sent back as `Last-Event-ID` nothing older comes.",
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        },
    )
    paths[OPENAPI_PATH] = _get("This document", {}, {"description": "OpenAPI 3.1", "content": {"application/json": {}}})
    return {
        "openapi": "3.1.0",
        "info": {"title": "everycent", "version": __version__, "description": _ABOUT},
        "paths": paths,
        "components": {"schemas": components},
    }


def _get(summary: str, question: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
    required = question.get("required", [])
    parameters = [
        {"name": name, "in": "query", "required": name in required, "schema": schema}
        for name, schema in question.get("properties", {}).items()
    ]
    description = question.get("description", "")
    problems = {
        status: {"description": text, "content": {"application/json": {"schema": _ref(answers.Problem)}}}
        for status, text in _PROBLEMS.items()
    }
    return {
        "get": {
            "summary": summary,
            **({"description": description} if description else {}),
            "parameters": parameters,
            "responses": {"200": answer, **problems},
        }
    }


def _json(shape: type[Struct]) -> dict[str, Any]:
    description = (shape.__doc__ or shape.__name__).splitlines()[0]
    return {"description": description, "content": {"application/json": {"schema": _ref(shape)}}}


def _ref(shape: type[Struct]) -> dict[str, str]:
    return {"$ref": _REF.format(name=shape.__name__)}
