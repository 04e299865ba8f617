"""Audit of rendered music: measurements, pictures, and a page with audio players."""
