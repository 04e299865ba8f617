"""Faults for `tools/mutate.py`, by package."""

from mutants.analysis import ANALYSIS
from mutants.catalogue import CATALOGUE
from mutants.core import CORE
from mutants.models import MODELS
from mutants.mutant import Mutant
from mutants.searching import SEARCHING
from mutants.stores import STORES

__all__ = ["MUTANTS", "Mutant"]

MUTANTS: tuple[Mutant, ...] = (*CORE, *ANALYSIS, *MODELS, *CATALOGUE, *STORES, *SEARCHING)
