"""The commands of `soundalike models`."""
