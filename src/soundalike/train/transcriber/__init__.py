"""Train the small networks of the `compact` backbone."""
