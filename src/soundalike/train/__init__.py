"""Fit models from audio."""
