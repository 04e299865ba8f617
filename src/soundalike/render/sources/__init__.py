"""Sources of music: tunes, drum grooves and chorales."""
