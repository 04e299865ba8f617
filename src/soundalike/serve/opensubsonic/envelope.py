"""Answers as JSON and XML.

An answer is a dictionary. In XML plain values are attributes, dictionaries and lists of them are elements, lists of
plain values are elements with text, and `value` is the text of its element. What is None is left out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias
from xml.sax.saxutils import escape, quoteattr

from starlette.responses import Response

from soundalike import __version__

__all__ = ["FORMATS", "VERSION", "Payload", "SubsonicError", "envelope"]

VERSION = "1.16.1"
"""The version of the protocol of Subsonic."""
FORMATS = ("xml", "json")
Payload: TypeAlias = Mapping[str, Any]
_NAMESPACE = "http://subsonic.org/restapi"
_RETURN = {"\r": "&#13;"}
_BREAKS = {**_RETURN, "\n": "&#10;", "\t": "&#9;"}
"""What a parser of XML would change, in text and in attributes."""
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 cannot hold: control characters, and the lone surrogates of file names that are not UTF-8."""


class SubsonicError(Exception):
    """A request that cannot be answered.

    Args:
        code: The code of the specification: 0 any error, 10 a missing parameter, 40 to 44 wrong credentials, 70 not
            found.
        message: One sentence.
        status: The HTTP status.
    """

    def __init__(self, code: int, message: str, status: int = 200) -> None:
        super().__init__(message)
        self.code, self.message, self.status = code, message, status


def envelope(answer: Payload | SubsonicError, form: str) -> Response:
    """Return an answer, or the reason why there is none.

    Args:
        answer: What the envelope holds.
        form: "json" or "xml".
    """
    if isinstance(answer, SubsonicError):
        status, http = "failed", answer.status
        content: Payload = {"error": {"code": answer.code, "message": answer.message}}
    else:
        status, http, content = "ok", 200, answer
    body = {
        "status": status,
        "version": VERSION,
        "type": "soundalike",
        "serverVersion": __version__,
        "openSubsonic": True,
        **content,
    }
    if form == "json":
        text = json.dumps({"subsonic-response": _without_none(body)}, ensure_ascii=False, separators=(",", ":"))
        return Response(_clean(text), http, media_type="application/json")
    text = "".join(_element("subsonic-response", {"xmlns": _NAMESPACE, **body}))
    document = f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'
    return Response(_clean(document), http, media_type="application/xml; charset=utf-8")


def _clean(text: str) -> bytes:
    return _FORBIDDEN.sub("\ufffd", text).encode()


def _without_none(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _without_none(one) for name, one in value.items() if one is not None}
    return [_without_none(one) for one in value] if isinstance(value, list | tuple) else value


def _element(name: str, value: Any) -> Iterator[str]:
    """An element: a dictionary, or plain text."""
    if not isinstance(value, Mapping):
        yield f"<{name}>{escape(_text(value), _RETURN)}</{name}>"
        return
    yield f"<{name}"
    children: list[tuple[str, Any]] = []
    for key, one in value.items():
        if isinstance(one, Mapping):
            children.append((key, one))
        elif isinstance(one, list | tuple):
            children += [(key, item) for item in one]
        elif one is not None and key != "value":
            yield f" {key}={quoteattr(_text(one), _BREAKS)}"
    yield ">"
    if value.get("value") is not None:
        yield escape(_text(value["value"]), _RETURN)
    for key, one in children:
        yield from _element(key, one)
    yield f"</{name}>"


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
