"""The OpenAPI document says what the server does: generated requests get the documented answers."""

from __future__ import annotations

from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs" / "reference" / "http.md"
