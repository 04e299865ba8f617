"""The Python interface: open a library, search it, compare recordings.

    import soundalike

    with soundalike.open("library", create=True) as library:
        library.index("music")
        for match in library.search("song.mp3", weights="melody=2,timbre=-1"):
            print(match.rank, match.path, match.score)

Paths are `str` or `os.PathLike`. Wherever a recording is expected, a binary file object or an `Audio` will do too.
Weights are a mapping or text ("melody=2"), and conditions are text ("bpm 90..110"). A wrong argument raises
`UsageError`, which names it; every error is a `SoundalikeError` with a message of one line.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
