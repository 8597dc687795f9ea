"""Feature maps of frozen, pretrained CNNs, through which the style loss sees images."""

from scenestyle.features.extractor import FeatureExtractor
from scenestyle.features.load import load_features

__all__ = ["FeatureExtractor", "load_features"]
