"""Plug-in folder: where rows are stored and how they are scanned, one store per file."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
