"""Help texts that are longer than a line."""

from __future__ import annotations

__all__ = ["PATH", "PLAYLIST"]

PATH = """\
Find the way from A to B over tracks of the library, each alike to the one before it: of all ways on which every
track lies further from A towards B, the one whose smallest step is largest. A and B need not be in the library; whole
tracks are compared.

  soundalike path calm.mp3 wild.mp3                     eight tracks in between
  soundalike path a.mp3 b.mp3 -n 4 -w rhythm            by the groove alone
  soundalike path a.mp3 b.mp3 --m3u way.m3u8            as a playlist, A and B with it where the library holds them

The score of a track is that of the step to it from the one before, as in a search; weights have to be 0 or more.
"""

PLAYLIST = """\
Choose tracks like SEED that are not all like one another. --spread says how much variety counts: 0 takes the best
matches, 1 only looks for what is unlike the tracks before. No recording comes twice, and no artist twice in a row.

  soundalike playlist song.mp3 --m3u evening.m3u8
  soundalike playlist song.mp3 -n 20 --spread 0.5 -w rhythm=2,timbre=1
  soundalike playlist song.mp3 --tempo 118..126 --tempo-step 3      each within 3 % of the one before

The scores are those of a search with SEED. A tempo is the tag's, or what was measured; half of it is another tempo.
Where no track is left that meets all of this, the list ends early and says why.
"""
