"""Room `probe`."""
