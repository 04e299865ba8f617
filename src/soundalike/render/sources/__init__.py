"""Tunes, grooves and chorales to render from."""
