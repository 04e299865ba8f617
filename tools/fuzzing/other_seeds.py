"""Valid files that are not recordings: models, playlists, exports, caches, libraries, MIDI files; and texts."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path

import numpy as np
import soundfile

__all__ = ["file_seeds", "library_seed", "text_seeds"]


def file_seeds() -> dict[str, bytes]:
    """Return the content of one file per format, by name. The name up to the first hyphen says what reads it."""
    from soundalike.core import mapped_arrays
    from soundalike.models import load_recipe

    recipe = load_recipe("dsp")
    made = {
        "recipe": recipe.weights.with_name("recipe.json").read_bytes(),
        "list-m3u": "#EXTM3U\n#EXTINF:61,Some Söng\n/music/a.mp3\r\nb/ü.flac\n".encode(),
        "list-nul": b"/music/a.mp3\0/music/b\xff.wav\0",
        "midi": _midi(),
    }
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        mapped_arrays.save(folder, "cache", 7, {"ids": np.arange(100), "on": np.ones((3, 5), bool)})
        made["derived"] = (folder / "cache.derived").read_bytes()
    return made


def text_seeds() -> dict[str, str]:
    """Return texts that users type and that tags hold. The name up to the first hyphen says what reads it."""
    return {
        "filter-range": "bpm 90..110 and genre = jazz and year >= 1990",
        "filter-text": "artist ~ 'Miles' and title != \"So What\" and path = *.flac",
        "filter-key": "key = Am and meter = 3/4 and duration < 300",
        "weights": "melody=2,timbre=-1.5,rhythm=0",
        "region": "1:02:03.5-1:03:00",
        "key": "F# minor",
        "key-camelot": "8A - Energy 6",
        "model": "compact",
        "path": "~/music/söng.wav",
    }


def library_seed(folder: Path) -> dict[str, bytes]:
    """Return the files of a small library and, if pyarrow is installed, of its export (`export/...`), by name."""
    from soundalike.core.errors import UsageError
    from soundalike.library import LibraryFolder
    from soundalike.library.exchange import export_library
    from soundalike.library.indexing import index_files

    music, library = folder / "music", folder / "library"
    music.mkdir()
    t = np.arange(2 * 22_050) / 22_050
    for number in range(4):
        tone = np.sin(2 * np.pi * 220 * 2 ** (number / 4) * t) * (1 + np.sin(2 * np.pi * (2 + number) * t))
        soundfile.write(music / f"{number}.wav", 0.3 * tone, 22_050)
    with LibraryFolder.create(library) as opened:
        index_files(opened, [music], model="dsp", jobs=1)
    made = {file.name: file.read_bytes() for file in library.iterdir() if file.is_file()}
    made = {name: content for name, content in made.items() if content}
    try:
        with LibraryFolder(library) as opened:
            export_library(opened, folder / "export")
    except UsageError:
        return made
    return made | {f"export/{file.name}": file.read_bytes() for file in (folder / "export").iterdir()}


def _midi() -> bytes:
    import mido

    song = mido.MidiFile()
    track = mido.MidiTrack()
    song.tracks.append(track)
    track.append(mido.MetaMessage("time_signature", numerator=4, denominator=4))
    track.append(mido.MetaMessage("key_signature", key="F#m"))
    for step in range(32):
        track.append(mido.Message("note_on", note=60 + step % 12, velocity=80, time=0))
        track.append(mido.Message("note_off", note=60 + step % 12, time=240))
    file = io.BytesIO()
    song.save(file=file)
    return file.getvalue()
