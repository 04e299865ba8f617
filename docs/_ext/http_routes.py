"""The directive `http-routes`: the reference of the HTTP interface, from the OpenAPI document of the app."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

import soundalike
from soundalike.serve import create_app

_METHODS = ("get", "post", "put", "delete")


class HttpRoutes(SphinxDirective):
    """One section per subject, with its routes."""

    def run(self) -> list[nodes.Node]:
        """Write the reference as MyST and parse that."""
        return self.parse_text_to_nodes("\n".join(reference(openapi_document())), allow_section_headings=True)


def openapi_document() -> dict[str, Any]:
    """The OpenAPI document; that of any library is the same."""
    with tempfile.TemporaryDirectory() as folder, soundalike.open(f"{folder}/library", create=True) as library:
        app = create_app(library)
        try:
            return app.openapi()
        finally:
            app.state.server.close()


def reference(document: Mapping[str, Any]) -> list[str]:
    """The lines of the reference, in MyST."""
    routes: dict[str, list[str]] = {}
    for path, methods in document["paths"].items():
        for method in _METHODS:
            if method in methods:
                one = methods[method]
                routes.setdefault(one["tags"][0], []).extend(_route(method, path, one))
    return [line for tag, lines in routes.items() for line in [f"## {tag.capitalize()}", "", *lines]]


def _route(method: str, path: str, one: Mapping[str, Any]) -> Iterator[str]:
    yield from (f"### {method.upper()} {path}", "", one.get("description", one["summary"]).strip(), "")
    rows = [_parameter(parameter) for parameter in one.get("parameters", ())]
    for kind, content in one.get("requestBody", {}).get("content", {}).items():
        rows.append(("body", _type(content.get("schema", {})), kind))
    for status, answer in one["responses"].items():
        kinds = ", ".join(answer.get("content", {})) or "no content"
        schema = next((content.get("schema", {}) for content in answer.get("content", {}).values()), {})
        rows.append((str(status), _type(schema), kinds))
    yield from ("| | type | |", "|---|---|---|")
    for name, kind, text in rows:
        yield f"| `{name}` | {kind} | {text} |"
    yield ""


def _parameter(parameter: Mapping[str, Any]) -> tuple[str, str, str]:
    schema = parameter.get("schema", {})
    text = parameter.get("description") or schema.get("description") or ""
    if "default" in schema and schema["default"] is not None:
        text = f"{text} Default: `{schema['default']}`.".strip()
    return parameter["name"], _type(schema), text


def _type(schema: Mapping[str, Any]) -> str:
    """A JSON Schema in a few words."""
    if "$ref" in schema:
        return f"`{schema['$ref'].rpartition('/')[2]}`"
    if "anyOf" in schema:
        return " or ".join(_type(one) for one in schema["anyOf"])
    if "oneOf" in schema:
        return " or ".join(_type(one) for one in schema["oneOf"])
    if "enum" in schema:
        return ", ".join(f"`{one}`" for one in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    return str(schema.get("type", ""))


def setup(app: Sphinx) -> dict[str, bool]:
    """Add the directive."""
    app.add_directive("http-routes", HttpRoutes)
    return {"parallel_read_safe": True}
