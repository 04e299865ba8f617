"""Help texts that are longer than a line."""

from __future__ import annotations

__all__ = ["DUPLICATES", "HUBNESS", "PATH", "PLAYLIST", "RENDER", "SEARCH", "VERSIONS"]

SEARCH = """\
Ask with a recording, in the library or not. A query of 30 s or more is compared with whole tracks; a shorter one,
or a region, with 10 s passages, and each track answers with its best one.

  soundalike search song.mp3
  soundalike search song.mp3 -w melody=2,timbre=-1      like the tune, unlike the sound
  soundalike search song.mp3 --region 0:30-0:40         what sounds like this passage?
  soundalike search song.mp3 --where 'bpm 90..110 and genre = jazz'
  soundalike search song.mp3 --like b.mp3 melody=2 --unlike c.mp3 timbre
                                                        and like the tune of b, and unlike the sound of c
  soundalike search song.mp3 --m3u alike.m3u8           a playlist of the answers
  soundalike search song.mp3 --collapse                 one of each piece (after: soundalike versions)

The score says how much closer than chance a match is, in standard deviations of random pairs, weighed over the
spaces; the columns are each space's share of it (they sum to the score) and, after it, how many per cent of random
pairs are less alike. n/a: nothing of that kind to hear on one of the sides.

With --like and --unlike, after AUDIO and as often as wanted, the score is the mean over all examples, that of a dislike
with the other sign; each is scored as if it were asked with alone. --json says what each of them contributed.
"""

HUBNESS = (
    "mutual-proximity: ask both sides how near the other is for it, so that tracks that are near to everybody turn "
    "up less; whole tracks only (default: none)"
)

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

DUPLICATES = """\
List the tracks of the library that are the same recording, whatever their format, level or leading silence: equal
sound, or equal acoustic fingerprints. No two are listed for being alike.

  soundalike duplicates
  soundalike duplicates --json
"""

RENDER = """\
Make folders of short clips in which one factor of music is controlled: five positives share it with the anchor and
nothing else, the negative shares nothing, the adversarial negative everything but it. Layout, as published:

  DIR/<factor>/triplets_N/triplet/{anchor,positive_01..05,negative,negative_adversarial}.wav
  DIR/<factor>/triplets_N/truth/*.jams, *.mid        what is played: notes, chords, beats, key, instruments, levels
  DIR/split.json                                     train, validation, test: no tune, drummer, progression or test
                                                     soundfont crosses

It can be interrupted at any time: the next run goes on, and more --folders add to those that are there. Needs the
extra `render`, FluidSynth and a soundfont.

  soundalike render --folders 200 --seed 7 -o triplets
  soundalike render --folders 200 --part test -o unseen        only material that training never hears
"""

VERSIONS = """\
List the pieces of which the library has several versions: covers, live takes, remasters. Found are the pairs of tracks
that are nearer in melody and harmony than chance explains, by what random pairs of this library score; of the pairs
found, no more than the false-discovery rate are expected to be chance. Tracks that are the same recording count once.
At least 200 different recordings are needed. What is found is kept, for `soundalike search --collapse`.

  soundalike versions
  soundalike versions --false-discovery-rate 0.01       fewer and surer
  soundalike versions -w melody=1                       the same tune over whatever chords
"""
