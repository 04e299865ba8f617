"""The routes of the HTTP interface, one file per subject."""

from soundalike.serve.routes import audio, compare, health, jobs, journeys, library, search, tracks, uploads

__all__ = ["ROUTERS"]

ROUTERS = tuple(module.router for module in (health, library, tracks, audio, uploads, search, compare, journeys, jobs))
