"""The methods for the similarity of instruments by name. This module does not need torch."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["METHODS", "TUNED_METHODS"]

METHODS: Mapping[str, str] = {
    "clean": "clean",
    "cascade": "cascade",
    "cascade-ft": "cascade_ft",
    "direct": "direct",
    "direct-da": "direct_da",
    "direct-reconst": "direct_reconst",
    "cascade-normal": "cascade_normal",
    "cascade-ft-normal": "cascade_ft_normal",
}
"""The last stage of each method. Those that end in "normal" are ablations without pseudo-pieces."""

TUNED_METHODS: Mapping[str, str] = {
    "clean": "clean",
    "cascade": "cascade",
    "cascade-ft": "cascade-ft",
    "direct-da": "direct",
    "direct-reconst": "direct-reconst",
}
"""The names in `soundalike.train.metric.paft.PAFTS` of the methods that learn from judgements."""
