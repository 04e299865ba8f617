"""The commands of `soundalike separators`."""
