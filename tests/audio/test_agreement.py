"""What it takes for blocks along a line to be one recording: each of three conditions counts by itself."""

from __future__ import annotations

import numpy as np
import pytest

from soundalike.audio import same_audio


@pytest.mark.parametrize(
    ("errors", "same"),
    [
        ([0.2] * 100, True),
        ([0.24] * 60 + [0.46] * 40, False),  # on average too many errors
        ([0.1] * 45 + [0.4] * 55, False),  # most blocks have too many
        ([0.3] * 100, False),  # no block agrees well
        ([], False),
    ],
)
def test_blocks_agree_on_average_in_most_of_them_and_well_in_some(errors: list[float], same: bool) -> None:
    assert same_audio._Line(0.0, 1.0, np.array(errors)).is_same_recording() is same
