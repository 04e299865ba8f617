"""Sources of musical material: tunes, drum grooves, and chord progressions of chorales."""
