"""Find music that sounds alike, and see why.

The names below are the public Python interface. They are loaded on first use, so `import soundalike` is quick.
`soundalike.open` is the place to start; see `soundalike.api`.
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__all__ += ["__version__"]
