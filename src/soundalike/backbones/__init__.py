"""Plug-in folder of backbones, one per file. A backbone turns audio samples into features."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
