from .entry import PlaylistEntry as PlaylistEntry
from .formats import PLAYLIST_FORMATS as PLAYLIST_FORMATS
from .formats import PLAYLIST_SUFFIXES as PLAYLIST_SUFFIXES
from .formats import PlaylistFile as PlaylistFile
from .formats import format_of as format_of
from .formats import make_playlist as make_playlist
