"""Reproduce papers: all tables and figures of a paper by one command, the printed numbers beside the measured ones."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
