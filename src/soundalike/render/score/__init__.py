"""Music as notes: melodies, chords, grooves, performances, and the ground truth of a rendered clip."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
