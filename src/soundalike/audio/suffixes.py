"""The names of recordings: which files and folders a scan opens."""

from __future__ import annotations

from pathlib import PurePath

__all__ = ["AUDIO_SUFFIXES", "is_system_file", "is_system_folder", "why_skipped"]

AUDIO_SUFFIXES = frozenset({
    # Read by libsndfile.
    ".aif", ".aifc", ".aiff", ".au", ".bwf", ".caf", ".flac", ".rf64", ".snd", ".wav", ".wave",
    # Read by FFmpeg: audio.
    ".8svx", ".aac", ".ac3", ".adts", ".amr", ".ape", ".asf", ".awb", ".dff", ".dsf", ".dts", ".eac3", ".ec3",
    ".f4a", ".f4b", ".iff", ".m1a", ".m2a", ".m4a", ".m4b", ".m4r", ".mka", ".mp+", ".mp1", ".mp2", ".mp3", ".mpa",
    ".mpc", ".mpp", ".oga", ".ogg", ".opus", ".spx", ".svx", ".tak", ".tta", ".voc", ".w64", ".weba", ".wma", ".wv",
    # Read by FFmpeg: the audio of videos.
    ".3g2", ".3gp", ".3gpp", ".avi", ".f4v", ".flv", ".m2p", ".m2t", ".m2ts", ".m4v", ".mk3d", ".mkv", ".mov", ".mp4",
    ".mpe", ".mpeg", ".mpg", ".mts", ".ogv", ".ogx", ".qt", ".ts", ".vob", ".webm", ".wmv",
})  # fmt: skip
"""Lower-case suffixes of every format that the decoders read. A scan of a folder opens only these files."""

_SYSTEM_FOLDERS = frozenset({
    # Version control.
    ".git", ".hg", ".svn", ".bzr", "_darcs",
    # Trash and old versions.
    ".trash", ".trashes", "$recycle.bin", "recycler", "#recycle", "@recycle", ".stversions", "lost+found",
    # Files of the operating system or of a network drive.
    "@eadir", "#snapshot", ".appledouble", ".documentrevisions-v100", ".fseventsd", ".spotlight-v100",
    ".temporaryitems", "system volume information",
})  # fmt: skip


def why_skipped(name: str) -> str | None:
    """Why a scan passes over a file of this name, as its counts call such files; None if it opens them.

    Example:
        >>> why_skipped("cover.JPG"), why_skipped("README"), why_skipped("song.mp3")
        ('.jpg files', 'files without a suffix', None)
    """
    if is_system_file(name):
        return "._ files of macOS"
    suffix = PurePath(name).suffix.lower()
    if suffix in AUDIO_SUFFIXES:
        return None
    return f"{suffix} files" if suffix else "files without a suffix"


def is_system_folder(name: str) -> bool:
    """Whether a folder of this name holds no music of the user: trash, version control, and the like.

    Example:
        >>> is_system_folder(".Trash-1000"), is_system_folder("...And Other Dots")
        (True, False)
    """
    folded = name.casefold()
    return folded in _SYSTEM_FOLDERS or folded.startswith(".trash-")


def is_system_file(name: str) -> bool:
    """Whether a file of this name is metadata that macOS writes beside every file on disks of other systems.

    Example:
        >>> is_system_file("._song.mp3"), is_system_file(".45 Special.mp3")
        (True, False)
    """
    return name.startswith("._") and PurePath(name).suffix.lower() in AUDIO_SUFFIXES
