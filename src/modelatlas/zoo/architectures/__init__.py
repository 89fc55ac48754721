"""Architectures of models that no maintained library has."""
