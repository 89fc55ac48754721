"""Models of the transformers library: their repositories on a hub, and the networks made from them."""
