"""One module a source of models."""
