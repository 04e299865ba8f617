"""`soundalike train`: the commands by name."""

from __future__ import annotations

import click

from soundalike.cli.arguments import shared_parameters
from soundalike.cli.commands import Entry, Group

__all__ = ["train"]

train: click.Command = Group(
    "train",
    {
        "dsp": Entry("train.dsp:dsp", "fit the model dsp: projections of fixed descriptors"),
        "compact": Entry("train.compact:compact", "train the model compact: networks and projections"),
        "descriptors": Entry("train.descriptors:descriptors", "fit the estimator of the tempo"),
        "heads": Entry("train.heads:heads", "train projection heads on triplet folders"),
        "instruments": Entry("train.instruments:instruments", "train networks that describe each instrument of a mix"),
        "concepts": Entry("train.concepts:concepts", "learn genre, mood, instrument, era, tempo and key"),
        "embed": Entry("train.embed:embed", "compute the features of triplet folders, or of a shard of them"),
        "merge": Entry("train.merge:merge", "merge the features of several machines into one cache"),
        "weights": Entry("train.weights:weights", "learn weights of spaces from what listeners find alike"),
        "attribution": Entry("train.attribution:attribution", "show which features the heads of a model use"),
    },
    help="Fit a model from audio, as the bundled models were made.",
    params=shared_parameters("library", "json"),
)
