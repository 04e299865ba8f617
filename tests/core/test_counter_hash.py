"""Random numbers from a counter: their values never change."""

from __future__ import annotations

import numpy as np

from soundalike.core.counter_hash import random_bits, random_order, random_shares


def test_the_first_numbers_are_those_of_splitmix64() -> None:
    """The sequence of the reference implementation for seed 0 (https://prng.di.unimi.it/splitmix64.c)."""
    assert [hex(int(one)) for one in random_bits(0, 3)] == [
        "0xe220a8397b1dcdaf", "0x6e789e6aa1b965f4", "0x6c45d188009454f",
    ]  # fmt: skip


def test_shares_are_uniform_and_orders_are_permutations() -> None:
    shares = random_shares(1, 10_000)
    assert shares.min() > 0 and shares.max() < 1
    assert np.abs(np.histogram(shares, 10, (0, 1))[0] - 1000).max() < 150
    assert sorted(random_order(2, 999).tolist()) == list(range(999))
    assert random_order(2, 999).tolist() != random_order(3, 999).tolist()
    assert random_order(0, 0).tolist() == random_bits(0, 0).tolist() == []
