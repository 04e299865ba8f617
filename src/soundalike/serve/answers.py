"""Answers of the HTTP interface as JSON."""

from __future__ import annotations

import functools
import json
from collections.abc import Hashable
from typing import Any, cast

from pydantic import TypeAdapter
from pydantic_core import PydanticSerializationError
from starlette.responses import Response

__all__ = ["json_bytes", "json_response"]


@functools.cache
def _adapter(kind: Hashable) -> TypeAdapter[Any]:
    return TypeAdapter(cast("Any", kind))


def json_bytes(value: Any, kind: Any = None) -> bytes:
    """Return a record as JSON.

    Args:
        value: The record.
        kind: Its type; None takes its class.
    """
    adapter = _adapter(cast("Hashable", kind or type(value)))
    try:
        return adapter.dump_json(value)
    except (PydanticSerializationError, UnicodeEncodeError):
        # Paths may hold bytes that are not UTF-8, as lone surrogates. They are escaped, as `--json` does.
        return json.dumps(adapter.dump_python(value), default=_plain).encode()


def _plain(value: Any) -> Any:
    return dict(value) if hasattr(value, "keys") else list(value)


def json_response(value: Any, kind: Any = None, status: int = 200) -> Response:
    """Return a record as an answer."""
    return Response(json_bytes(value, kind), status, media_type="application/json")
