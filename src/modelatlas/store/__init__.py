"""Room `store`."""
