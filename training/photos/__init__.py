"""Photographs as training data: which, from where, and the buffers that the style filters need of them."""
