"""Concepts: does a space tell recordings apart by genre, mood, instrument, era, tempo or key?

    soundalike evaluate concepts --data ~/Music --model my-concepts
    soundalike evaluate concepts --data gtzan --dataset gtzan --part test
    soundalike evaluate concepts --data songs --labels labels.csv

Labels are the tags of the files; those of a dataset that has labels, with --dataset: labelled, gtzan, mtg_jamendo or
msd_lastfm; or those of a table, with --labels: a CSV file with the column path, relative to DIR, and any of the columns
genre, mood, instrument, era, tempo and key. Recordings with the same text in a column song belong together, and --part
chooses by a column subset.

- Two recordings are alike in tempo if they are within 5 BPM of each other or of a tempo octave, in key if they have the
  same tonic, and in the other concepts if they share a tag. What has no label is unknown and takes no part.
- Triplets are drawn once per concept (--triplets, --seed). The positive is alike, the negative is not, and both are of
  other songs than the anchor. By the tags of files, a song is everything by one artist.
- A triplet is right if the positive is nearer than the negative, by the Euclidean distance of rows. A tie counts half.

The rows are the spaces of the model, and all of them together; the columns are the concepts. Intervals are from a
bootstrap over the songs of the anchors.

Reference: Ribecky, Abeßer and Lukashevich, Multi-Input Architecture and Disentangled Representation Learning for
Multi-Dimensional Modeling of Music Similarity, 2021.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import click

from soundalike.audio import CONCEPTS, alike_matrix
from soundalike.core.errors import UsageError
from soundalike.core.types import IntArray, Report
from soundalike.evaluate.base import EncodedClips, Progress, Protocol, check_folder, model_report, order_columns
from soundalike.evaluate.concepts import alike_triplets, mask_outcomes, masks_of
from soundalike.evaluate.estimates import bootstrap
from soundalike.evaluate.label_probe import clip_option
from soundalike.evaluate.labelled_songs import LabelledSong, read_labelled_songs
from soundalike.evaluate.recordings import CONVENTIONS, encode_items, item_span
from soundalike.evaluate.section_rows import encode_sections

__all__ = ["ConceptTriplets", "create"]

_SECTIONS = "sections"


class ConceptTriplets:
    """Triplet accuracy of every space (rows) on every concept (columns), in per cent."""

    name: ClassVar[str] = "concepts"
    summary: ClassVar[str] = "genre, mood, instrument, era, tempo and key of labelled recordings"

    def options(self) -> Sequence[click.Parameter]:
        """Return `--data`, `--dataset`, `--part`, `--labels`, `--triplets` and `--clip`."""
        path = click.Path(path_type=Path)
        return [
            click.Option(["--data"], type=path, required=True, metavar="DIR", help="Folder with recordings."),
            click.Option(
                ["--dataset"],
                default="folder",
                metavar="NAME",
                help="Dataset with labels (default: tags of the files).",
            ),
            click.Option(["--part"], default="all", metavar="NAME", help="Part of the dataset, such as test."),
            click.Option(["--labels"], type=path, metavar="FILE", help="CSV file with labels."),
            click.Option(
                ["--triplets"],
                type=click.IntRange(1),
                default=1000,
                metavar="N",
                help="Triplets per concept (default: 1000).",
            ),
            click.Option(
                ["--clip"],
                type=click.Choice([*CONVENTIONS, _SECTIONS]),
                default="passages",
                help="Encode whole recordings in passages of 10 s or sections of 3 s, or their first 10 or 30 s "
                "(default: passages).",
            ),
        ]

    def run(self, args: SimpleNamespace, progress: Progress | None = None) -> tuple[Report, ...]:
        """Return the accuracy. Raises UsageError, AudioError or ModelError."""
        check_folder(args.data, "labelled recordings")
        songs = read_labelled_songs(args.data, args.dataset, args.labels, args.part)
        groups = [one.song for one in songs]
        triplets: dict[str, IntArray] = {}
        unlabelled = [name for name in CONCEPTS if not any(one.labels.known(name) for one in songs)]
        lacking = [f"no recording is labelled: {', '.join(unlabelled)}"] if unlabelled else []
        for at, concept in enumerate(CONCEPTS):
            if concept in unlabelled:
                continue
            alike = alike_matrix(concept, [one.labels for one in songs])
            try:
                triplets[concept] = alike_triplets(alike, groups, args.seed + at, count=args.triplets, what=concept)
            except UsageError as error:
                lacking.append(str(error))
        if not triplets:
            raise UsageError(f"{args.data} has no labels to judge by: {lacking[0]}")
        encoded = self._encode(songs, args, progress)
        return (self._report(encoded, args, songs, triplets, lacking),)

    @staticmethod
    def _encode(songs: Sequence[LabelledSong], args: SimpleNamespace, progress: Progress | None) -> EncodedClips:
        items = [one.item for one in songs]
        if args.clip == _SECTIONS:
            spans = [item_span(item) for item in items]
            return encode_sections(spans, args.model, jobs=args.jobs, progress=progress)
        return encode_items(items, args.model, args.clip, jobs=args.jobs, progress=progress)

    def _report(
        self,
        encoded: EncodedClips,
        args: SimpleNamespace,
        songs: Sequence[LabelledSong],
        triplets: dict[str, IntArray],
        lacking: Sequence[str],
    ) -> Report:
        numbers = encoded.positions(item_span(one.item) for one in songs)
        names = [space.name for space in encoded.spaces]
        masks = masks_of(names) if len(names) > 1 else {names[0]: tuple(names)}
        columns = {}
        for concept in order_columns(triplets, encoded):
            drawn = triplets[concept]
            outcomes = mask_outcomes(encoded.rows, numbers[drawn], masks)
            columns[concept] = bootstrap(outcomes, [songs[anchor].song for anchor in drawn[:, 0]], args.seed)
        labelled = {
            concept: sum(one.labels.known(concept) for one in songs) for concept in CONCEPTS if concept in triplets
        }
        options = [
            "--data DIR",
            f"--dataset {args.dataset}" if args.dataset != "folder" and not args.labels else "",
            f"--part {args.part}" if args.part != "all" else "",
            "--labels FILE" if args.labels else "",
            f"--triplets {args.triplets}" if args.triplets != 1000 else "",
            clip_option(args).strip(),
        ]
        return model_report(
            encoded,
            args,
            columns,
            f"Concepts, {args.clip}: {len(songs):,} recordings of {len({one.song for one in songs}):,} songs",
            protocol=self.name,
            options=" ".join(filter(None, options)),
            chance=50.0,
            rows=list(masks),
            notes=[
                "Triplets judged by Euclidean distance; ties count half. Intervals: bootstrap over songs. n: triplets.",
                "Labelled recordings: " + ", ".join(f"{name} {count:,}" for name, count in labelled.items()) + ".",
                *(f"n/a: {reason}." for reason in lacking),
            ],
        )


def create() -> Protocol:
    """Create the protocol."""
    return ConceptTriplets()
