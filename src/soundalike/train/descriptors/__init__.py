"""Fit the tempo: music of known tempo, and the network that scores tempi."""
