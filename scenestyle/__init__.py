"""Restyle a captured 3D scene from one sentence."""
