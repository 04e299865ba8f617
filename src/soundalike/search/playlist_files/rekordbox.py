"""The XML in which Rekordbox exports its collection, and from which it imports tracks and playlists."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath
from urllib.parse import quote
from xml.etree import ElementTree as ET

from soundalike.search.playlist_files.entry import PlaylistEntry, xml_text

__all__ = ["format_rekordbox"]

_NOTES = {"C#": "Db", "D#": "Eb", "G#": "Ab", "A#": "Bb"}


def format_rekordbox(entries: Sequence[PlaylistEntry], name: str) -> bytes:
    """A collection of the tracks, and one playlist of them. The paths must fit XML, see `xml_misfit`.

    Args:
        entries: The tracks, in order; a track may come twice.
        name: The name of the playlist.
    """
    root = ET.Element("DJ_PLAYLISTS", Version="1.0.0")
    ET.SubElement(root, "PRODUCT", Name="soundalike", Version="1.0.0", Company="")
    tracks = {entry.path: entry for entry in entries}
    numbers = {path: str(number) for number, path in enumerate(tracks, start=1)}
    collection = ET.SubElement(root, "COLLECTION", Entries=str(len(tracks)))
    for path, entry in tracks.items():
        ET.SubElement(collection, "TRACK", {"TrackID": numbers[path], **_track(entry)})
    folder = ET.SubElement(ET.SubElement(root, "PLAYLISTS"), "NODE", Type="0", Name="ROOT", Count="1")
    playlist = ET.SubElement(
        folder, "NODE", Name=xml_text(name), Type="1", KeyType="0", Entries=str(len(entries))
    )  # KeyType 0: tracks are named by their TrackID
    for entry in entries:
        ET.SubElement(playlist, "TRACK", Key=numbers[entry.path])
    ET.indent(root)
    return b'<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="utf-8") + b"\n"


def _track(entry: PlaylistEntry) -> dict[str, str]:
    return {
        "Name": xml_text(entry.named),
        "Artist": xml_text(entry.artist),
        "Album": xml_text(entry.album),
        "Genre": xml_text(entry.genre),
        "TotalTime": str(round(entry.duration)),
        "Year": str(entry.year or 0),
        "AverageBpm": f"{entry.bpm or 0:.2f}",
        "Location": _location(entry.path),
        "Tonality": _tonality(entry.key),
    }


def _location(path: str) -> str:
    """The address of a file: `file://localhost/` and the percent-encoded path, with its drive on Windows."""
    return "file://localhost/" + quote(PurePath(path).as_posix().lstrip("/"), safe="/:")


def _tonality(key: str | None) -> str:
    """A key as DJs write it, such as "Am" and "Bb"."""
    if key is None:
        return ""
    note, mode = key.split(" ")
    return _NOTES.get(note, note) + ("m" if mode == "minor" else "")
