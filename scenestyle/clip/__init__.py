"""CLIP embeddings of images and sentences. Drives transformers."""

from scenestyle.clip.embed import Clip, clip_weights, open_clip

__all__ = ["Clip", "clip_weights", "open_clip"]
