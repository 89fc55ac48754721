"""Room `zoo`."""
