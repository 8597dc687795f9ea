"""CLIP embeddings of pictures and sentences. Drives transformers."""

from scenestyle.clip.embed import Clip, clip_weights, open_clip

__all__ = ["Clip", "clip_weights", "open_clip"]
