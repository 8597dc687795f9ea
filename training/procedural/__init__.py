"""Procedural scenes, ray cast to photographs and buffers, and named style filters over the buffers."""
