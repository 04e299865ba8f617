"""A worked plug-in for soundalike: the backbone `pulse`, a model on it, and the protocol `continuation`."""

from pathlib import Path

__all__ = ["MODEL"]

MODEL = Path(__file__).with_name("pulse_model")
"""The folder of the model, for `--model`."""
