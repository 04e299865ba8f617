"""The factor x stem matrix of two recordings: how alike every stem, and the mix, is in every factor."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

from soundalike.core.types import Space, SpaceScore
from soundalike.models import MIX
from soundalike.search.compare import Comparison, PassagePair

__all__ = ["MatrixCell", "StemMatrix", "make_stem_matrix"]


@dataclass(frozen=True, slots=True)
class MatrixCell:
    """How alike two recordings are in one space.

    Attributes:
        source: The row: "mix" or a stem.
        factor: The column, such as "melody"; "overall" for models with one space.
        model: The name of the model that has the space.
        space: The name of the space.
        score: Its similarity, z and percentile. All are None where the stem is silent in either recording.
        pair: The two passages that are most alike in the space; None where nothing is audible.
    """

    source: str
    factor: str
    model: str
    space: str
    score: SpaceScore
    pair: PassagePair | None


@dataclass(frozen=True, slots=True)
class StemMatrix:
    """Two recordings compared by mix and stem, and in every factor.

    Attributes:
        sources: The rows: "mix", then the stems.
        factors: The columns.
        cells: The cells by row and column. A model may lack some.
        mix: The comparison by the mix.
        stems: The comparison by the stems.
    """

    sources: tuple[str, ...]
    factors: tuple[str, ...]
    cells: Mapping[tuple[str, str], MatrixCell]
    mix: Comparison
    stems: Comparison

    def __iter__(self) -> Iterator[MatrixCell]:
        """Yield the cells, row by row."""
        return iter(self.cells.values())

    def renamed(self, names: Mapping[str, str]) -> Self:
        """The same matrix with its recordings under other names: {old: new}."""
        mix, stems = self.mix.renamed(names), self.stems.renamed(names)
        pairs = {(mix.model, name): pair for name, pair in mix.pairs.items()}
        pairs |= {(stems.model, name): pair for name, pair in stems.pairs.items()}
        cells = {key: replace(cell, pair=pairs[cell.model, cell.space]) for key, cell in self.cells.items()}
        return replace(self, cells=cells, mix=mix, stems=stems)


def make_stem_matrix(
    mix: Comparison, mix_spaces: Sequence[Space], stems: Comparison, stem_spaces: Sequence[Space]
) -> StemMatrix:
    """Join the comparisons of two recordings by a model of mixes and by its stem model.

    Args:
        mix: The comparison by the model of mixes.
        mix_spaces: The spaces of this model.
        stems: The comparison by the stem model.
        stem_spaces: The spaces of the stem model.

    Example:
        >>> matrix = make_stem_matrix(mix, model.spaces, stems, on_stems.spaces)
        >>> matrix.cells["vocals", "melody"].score.z
        1.7
    """
    cells = {}
    for found, spaces in ((mix, mix_spaces), (stems, stem_spaces)):
        for space in spaces:
            factor = space.tensors if space.source != MIX and space.tensors else space.name
            cells[space.source, factor] = MatrixCell(
                space.source, factor, space.model, space.name, found.match.spaces[space.name], found.pairs[space.name]
            )
    sources = tuple(dict.fromkeys(source for source, _ in cells))
    return StemMatrix(sources, tuple(dict.fromkeys(factor for _, factor in cells)), cells, mix, stems)
