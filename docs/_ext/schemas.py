"""The directive `schemas`: the JSON Schemas of `docs/schemas`, one section each."""

from __future__ import annotations

import json
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective


class Schemas(SphinxDirective):
    """One section per schema: title, description, and the schema."""

    def run(self) -> list[nodes.Node]:
        """Write the sections as MyST and parse that."""
        folder = Path(self.env.srcdir) / "schemas"
        lines = []
        for path in sorted(folder.glob("*.json")):
            self.env.note_dependency(str(path))
            text = path.read_text(encoding="utf-8")
            schema = json.loads(text)
            lines += [f"## {schema.get('title', path.stem)}", "", schema.get("description", ""), ""]
            lines += ["```json", text.rstrip(), "```", ""]
        return self.parse_text_to_nodes("\n".join(lines), allow_section_headings=True)


def setup(app: Sphinx) -> dict[str, bool]:
    """Add the directive."""
    app.add_directive("schemas", Schemas)
    return {"parallel_read_safe": True}
