"""Evaluate models: protocols, reports, fusions of spaces, and the attribution of heads to their inputs."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
