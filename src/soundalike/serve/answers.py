"""Answers of the HTTP interface as JSON."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Hashable, Mapping, Sequence
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
        return json.dumps(_finite(adapter.dump_python(value)), allow_nan=False).encode()


def _finite(value: Any) -> Any:
    """Plain values, with null for numbers that JSON cannot hold, as pydantic writes them."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _finite(one) for key, one in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [_finite(one) for one in value]
    return value if isinstance(value, str | int | None) else str(value)


def json_response(value: Any, kind: Any = None, status: int = 200) -> Response:
    """Return a record as an answer."""
    return Response(json_bytes(value, kind), status, media_type="application/json")
