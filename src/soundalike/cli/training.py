"""`soundalike train`."""

from __future__ import annotations

import argparse

from soundalike.cli import show
from soundalike.errors import one_line
from soundalike.train.dsp import fit

__all__ = ["run_train"]


def run_train(args: argparse.Namespace) -> int:
    """Fit the `dsp` model and print how well folders that were held out are told apart."""
    accuracies = fit(args.renders, args.recordings, args.out, args.seed, plain=args.plain)
    if args.json:
        show.print_json({"out": str(args.out), "seed": args.seed, "held_out_triplet_accuracy": accuracies})
        return 0
    factors = list(next(iter(accuracies.values())))
    print("held-out folders, triplet accuracy in % (chance 50): a row a space, a column a factor")
    rows = [[space, *(f"{100 * row[factor]:.1f}" for factor in factors)] for space, row in accuracies.items()]
    show.print_table(["", *factors], rows, left=[0])
    print(f"model written: {one_line(args.out)}")
    return 0
