"""Keras 3 networks on its torch backend, as torch modules."""
