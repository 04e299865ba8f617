"""NML, in which Traktor keeps its collection and exports playlists. Mixxx and other programs read it too.

There is no public specification. This is what Traktor Pro 3 writes (VERSION 19).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path, PurePath
from typing import NamedTuple
from xml.etree import ElementTree as ET

from soundalike.audio import camelot_code
from soundalike.search.playlist_files.entry import PlaylistEntry, xml_text

__all__ = ["format_traktor"]

_NOTES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
_VOLUMES = Path("/Volumes")
"""Where macOS mounts disks. The one that it started from is a link to the root."""


def format_traktor(entries: Sequence[PlaylistEntry], name: str) -> bytes:
    """A collection of the tracks, and one playlist of them. The paths must fit XML, see `xml_misfit`.

    Args:
        entries: The tracks, in order; a track may come twice.
        name: The name of the playlist.
    """
    root = ET.Element("NML", VERSION="19")
    ET.SubElement(root, "HEAD", COMPANY="www.native-instruments.com", PROGRAM="Traktor")
    ET.SubElement(root, "MUSICFOLDERS")
    tracks = {entry.path: entry for entry in entries}
    places = {path: _Place.of(path) for path in tracks}
    collection = ET.SubElement(root, "COLLECTION", ENTRIES=str(len(tracks)))
    for path, entry in tracks.items():
        _add_track(collection, entry, places[path])
    folder = ET.SubElement(ET.SubElement(root, "PLAYLISTS"), "NODE", TYPE="FOLDER", NAME="$ROOT")
    node = ET.SubElement(ET.SubElement(folder, "SUBNODES", COUNT="1"), "NODE", TYPE="PLAYLIST", NAME=xml_text(name))
    # Traktor tells playlists apart by this number: the same tracks under the same name are the same playlist.
    number = hashlib.blake2b("\0".join([name, *(entry.path for entry in entries)]).encode(), digest_size=16).hexdigest()
    playlist = ET.SubElement(node, "PLAYLIST", ENTRIES=str(len(entries)), TYPE="LIST", UUID=number)
    for entry in entries:
        ET.SubElement(ET.SubElement(playlist, "ENTRY"), "PRIMARYKEY", TYPE="TRACK", KEY="".join(places[entry.path]))
    ET.indent(root)
    return b'<?xml version="1.0" encoding="UTF-8" standalone="no"?>\n' + ET.tostring(root, encoding="utf-8") + b"\n"


class _Place(NamedTuple):
    """A path in Traktor's form; joined, it is the key of the track."""

    volume: str
    folder: str
    file: str

    @classmethod
    def of(cls, path: str) -> _Place:
        """The place of an absolute path."""
        pure = PurePath(path)
        parts, volume = list(pure.parts[1:]), pure.drive
        if not volume and _VOLUMES.is_dir():
            if parts[:1] == [_VOLUMES.name] and len(parts) > 2:
                volume, parts = parts[1], parts[2:]
            else:
                volume = next((one.name for one in _VOLUMES.iterdir() if one.is_symlink() and one.samefile(os.sep)), "")
        escaped = [part.replace(":", "//") for part in parts]
        return cls(volume, "".join(f"/:{part}" for part in escaped[:-1]) + "/:", escaped[-1])


def _add_track(collection: ET.Element, entry: PlaylistEntry, place: _Place) -> None:
    track = ET.SubElement(collection, "ENTRY", TITLE=xml_text(entry.named), ARTIST=xml_text(entry.artist))
    location = {"DIR": place.folder, "FILE": place.file, "VOLUME": place.volume, "VOLUMEID": place.volume}
    ET.SubElement(track, "LOCATION", location)
    if entry.album:
        ET.SubElement(track, "ALBUM", TITLE=xml_text(entry.album))
    info = {"PLAYTIME": str(round(entry.duration)), "PLAYTIME_FLOAT": f"{entry.duration:.6f}"}
    if entry.genre:
        info["GENRE"] = xml_text(entry.genre)
    if entry.key:
        info["KEY"] = _open_key(entry.key)
    if entry.year:
        info["RELEASE_DATE"] = f"{entry.year}/1/1"
    ET.SubElement(track, "INFO", info)
    if entry.bpm:
        ET.SubElement(track, "TEMPO", BPM=f"{entry.bpm:.6f}")
    if entry.key:
        ET.SubElement(track, "MUSICAL_KEY", VALUE=str(_key_number(entry.key)))


def _key_number(key: str) -> int:
    """0 to 11 for C major to B major, 12 to 23 for the minor keys."""
    note, mode = key.split(" ")
    return _NOTES.index(note) + (12 if mode == "minor" else 0)


def _open_key(key: str) -> str:
    """The code that Traktor shows: 1m is A minor and 1d C major, which are 8A and 8B in Camelot."""
    code = camelot_code(key)
    return f"{(int(code[:-1]) - 8) % 12 + 1}{'m' if code.endswith('A') else 'd'}"
