"""Sound for players: excerpts, stretched and transposed if asked for, waveforms and covers."""
