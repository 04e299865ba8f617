"""Rendered music with known ground truth, in which single factors (melody, rhythm, timbre, harmony) are varied."""
