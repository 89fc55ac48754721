"""Room `run`."""
