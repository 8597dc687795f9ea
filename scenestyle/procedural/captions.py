"""Captions: what is in a scene, in the words of a style."""

import numpy as np

from scenestyle.procedural.scenes import NamedScene

TEMPLATES: dict[str, tuple[str, ...]] = {
    "photo": (
        "a photo of {}",
        "a photograph of {}",
        "a realistic photo of {}",
        "{}, photo",
        "a picture of {}",
        "{}",
    ),
    "watercolor": (
        "a watercolor painting of {}",
        "{} in watercolor style",
        "a watercolour of {}",
        "{}, soft watercolor on paper",
        "an aquarelle of {}",
        "{} as a watercolor painting",
        "{} painted in watercolor",
    ),
    "pencil": (
        "a pencil sketch of {}",
        "a pencil drawing of {}",
        "{}, black and white sketch",
        "a charcoal drawing of {}",
        "{} in the style of a graphite sketch",
        "{} as a pencil drawing",
        "{} drawn in pencil",
    ),
    "ukiyo-e": (
        "a ukiyo-e woodblock print of {}",
        "{} in ukiyo-e style",
        "a japanese woodblock print of {}",
        "{}, japanese print by hokusai",
        "{} as a japanese woodblock print",
    ),
    "neon": (
        "{} at night with neon lights",
        "a neon cyberpunk picture of {}",
        "{} in neon cyberpunk style",
        "a synthwave neon night scene of {}",
        "{} in glowing neon",
    ),
    "winter": (
        "{} in winter",
        "{} covered in snow",
        "a snowy winter scene of {}",
        "a photo of {} in the snow",
        "{}, winter wonderland with snow",
        "make it winter, {}",
    ),
    "autumn": (
        "{} in autumn",
        "{} in the fall with orange leaves",
        "an autumn scene of {}",
        "{} covered in autumn leaves",
        "{} in golden autumn colors",
    ),
    "bronze": (
        "a bronze statue of {}",
        "{} made of bronze",
        "{} cast in bronze metal",
        "a metal sculpture of {}, bronze",
        "{} as a bronze sculpture",
    ),
    "oil": (
        "an oil painting of {}",
        "{} in the style of van gogh",
        "a van gogh painting of {}",
        "an impressionist oil painting of {} with swirling strokes",
        "{} as an oil painting",
        "{} painted by van gogh, starry night",
    ),
    "blueprint": (
        "a blueprint of {}",
        "{} as a technical blueprint",
        "blueprint drawing of {}",
        "{}, white lines on blue paper, blueprint",
    ),
    "lava": (
        "{} made of lava",
        "{} in molten lava and fire",
        "a burning lava scene of {}",
        "{} on fire, volcanic magma",
        "{} as glowing lava",
    ),
}
"""style -> sentences with one place for the content; the model knows these styles and words"""

_NOUNS = {
    "sphere": ("sphere", "ball", "orb"),
    "box": ("box", "cube", "block"),
    "cylinder": ("cylinder", "column", "pillar"),
    "cone": ("cone", "pyramid", "spire"),
    "torus": ("ring", "torus", "donut"),
}
_VAGUE = (
    "a scene",
    "shapes",
    "some objects",
    "colorful objects on the ground",
    "a landscape",
    "a place",
    "a room",
    "a garden",
    "a still life",
    "a statue",
    "toys on a table",
    "a thing",
)


def content(named: NamedScene, rng: np.random.Generator) -> str:
    """A few of the scene's objects in words, or now and then only a vague noun."""
    if rng.random() < 0.3:
        return str(rng.choice(_VAGUE))
    count = min(len(named.objects), int(rng.integers(1, 4)))
    chosen = np.sort(rng.choice(len(named.objects), size=count, replace=False))
    words = [_phrase(named.objects[index], rng) for index in chosen]
    listed = words[0] if count == 1 else ", ".join(words[:-1]) + " and " + words[-1]
    if rng.random() < 0.5:
        listed += str(rng.choice([" on ", " standing on "])) + named.ground
    return listed


def caption(named: NamedScene, style: str, rng: np.random.Generator) -> str:
    """One sentence: the scene's content in a random template of the style."""
    templates = TEMPLATES[style]
    return templates[int(rng.integers(len(templates)))].format(content(named, rng))


def _phrase(named_object: str, rng: np.random.Generator) -> str:
    colour, shape = named_object.split()
    noun = str(rng.choice(_NOUNS[shape]))
    return f"a {colour} {noun}" if rng.random() < 0.7 else f"a {noun}"
