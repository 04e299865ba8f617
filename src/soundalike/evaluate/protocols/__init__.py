"""Plug-in folder: one evaluation protocol per file."""
