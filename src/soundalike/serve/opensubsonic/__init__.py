"""OpenSubsonic, which music players speak: search and stream the library, and find tracks that sound alike."""

from fastapi import APIRouter

__all__ = ["router"]

router = APIRouter()
