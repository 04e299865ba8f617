"""Similarity of each instrument, learned from the mix: U-Net separators, extractors and their losses."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
