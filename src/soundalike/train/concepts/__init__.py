"""Similarity of concepts such as genre, tempo and key: a multi-input conditional similarity network."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
