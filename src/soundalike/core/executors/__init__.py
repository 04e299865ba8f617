"""Run many tasks in worker processes."""
