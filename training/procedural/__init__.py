"""Procedural scenes, ray cast to photographs and buffers, and style filters over the buffers."""
