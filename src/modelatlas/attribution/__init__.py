"""Room `attribution`."""
