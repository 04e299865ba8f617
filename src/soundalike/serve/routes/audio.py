"""Audio."""

from __future__ import annotations

from fastapi import APIRouter

from soundalike.serve.problems import PROBLEMS

__all__ = ["router"]

router = APIRouter(tags=["audio"], responses=PROBLEMS)
