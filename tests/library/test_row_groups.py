"""Groups of rows against loops over their tables."""

from __future__ import annotations

import numpy as np
import pytest

from soundalike.library.stores.row_groups import Groups


@pytest.mark.parametrize(
    "table",
    [
        pytest.param([[2, 3], [7, 1], [8, 2]], id="gaps before and between"),
        pytest.param([[0, 4], [4, 4]], id="no gap"),
        pytest.param([[6, 2], [1, 2], [6, 2]], id="copies share rows, in any order"),
    ],
)
def test_the_rows_of_a_group_are_its_own(table: list[list[int]]) -> None:
    own = {row for first, count in table for row in range(first, first + count)}
    groups = Groups.of(np.array(table))
    assert groups.held(np.arange(12)).tolist() == sorted(own)
    assert groups.held(np.array([3, 5, 7, 11])).tolist() == [row for row in (3, 5, 7, 11) if row in own]
    assert groups.held(np.zeros(0, np.int64)).tolist() == []
    for number, (first, count) in enumerate(table):
        wanted = np.arange(len(table)) == number
        assert groups.positions(wanted).tolist() == list(range(first, first + count))
        assert groups.rows_of(wanted) == count
