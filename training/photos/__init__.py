"""Photographs as training data: which, from where, and the buffers that style filters need."""
