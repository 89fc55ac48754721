"""Room `fetch`."""
