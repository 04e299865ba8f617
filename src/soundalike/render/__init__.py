"""Render music in which one factor is controlled."""
