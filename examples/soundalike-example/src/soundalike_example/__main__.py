"""`python -m soundalike_example` prints the folder of the model."""

from soundalike_example import MODEL

print(MODEL)
