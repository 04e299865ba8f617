"""OpenSubsonic, which music players speak: browse and stream the library, and find tracks that sound alike.

Every answer is an envelope, also that to a request that fails: XML, or JSON with `f=json`.
"""

from soundalike.serve.opensubsonic.router import router

__all__ = ["router"]
