"""Project: reference data, keyed by `project_id` on the compacted topic `projects`."""

from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from schemas.decoding import decoding
from schemas.fields import Fen, Id


class Project(Struct, frozen=True, gc=False):
    """A charity project. Orders for a project that isn't here still count and show under the bare id."""

    project_id: Id
    name: Annotated[str, Meta(min_length=1, max_length=200)]
    charity: Annotated[str, Meta(max_length=200)] = ""
    goal_fen: Fen | None = None
    description: Annotated[str, Meta(max_length=4000)] = ""


encode_project = msgspec.json.Encoder().encode
decode_project = decoding(Project)
