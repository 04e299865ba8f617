"""Run many tasks: in this process, or on every core."""
