"""Room `space`."""
