"""What `tools/fuzz.py` runs: inputs of every format, mutations of them, and the parts of soundalike that read them."""
