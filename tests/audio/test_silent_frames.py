"""Which frames of a fingerprint are silent is judged by themselves."""

from __future__ import annotations

import numpy as np

from soundalike.audio import Fingerprint, Fingerprinter


def test_a_frame_is_silent_if_it_is_silent_itself() -> None:
    """Silence, then noise: the signs of the frames are 0 exactly where the frame holds nothing."""
    rate, window, hop = 5512, 2048, 512
    samples = np.zeros(20 * window, np.float32)
    start = 10 * window
    samples[start:] = 0.1 * np.random.default_rng(0).standard_normal(len(samples) - start)
    fingerprinter = Fingerprinter(rate)
    list(fingerprinter.tap([samples]))
    signs = Fingerprint.of(fingerprinter.words()).signs
    # Sign n belongs to frame n + 1, which ends at hop * (n + 1) + window.
    heard = np.array([hop * (n + 1) + window > start + hop // 2 for n in range(len(signs))])
    doubtful = np.array([abs(hop * (n + 1) + window - start) <= hop // 2 for n in range(len(signs))])
    assert np.array_equal((signs != 0)[~doubtful], heard[~doubtful])
