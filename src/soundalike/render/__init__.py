"""Render music in which one factor varies at a time: scenes, their sound, and the truth about it."""
