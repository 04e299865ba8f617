"""Fit tempo and meter: music with known tempo and meter, and the network that scores tempi."""
