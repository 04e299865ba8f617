"""The OpenAPI document says what the server does: generated requests get the documented answers."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
import schemathesis
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, settings

import soundalike
from http_reference import reference
from schemathesis.specs.openapi.checks import unsupported_method
from soundalike.serve import create_app

DOCS = Path(__file__).parents[2] / "docs" / "reference" / "http.md"
