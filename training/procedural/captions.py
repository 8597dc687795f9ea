"""Captions: what is in a scene, in the words of a style."""

import numpy as np

from training.procedural.scenes import NamedScene

TEMPLATES: dict[str, tuple[str, ...]] = {
    "photo": (
        "a photo of {}",
        "a photograph of {}",
        "a realistic photo of {}",
        "{}, photo",
        "a picture of {}",
        "{}",
        "make it a photo of {}",
        "an unedited photograph, {}",
        "{} as a photo",
        "a plain picture of {}",
        "realistic photography of {}",
        "{} in a real photograph",
    ),
    "watercolor": (
        "a watercolor painting of {}",
        "{} in watercolor style",
        "a watercolour of {}",
        "{}, soft watercolor on paper",
        "an aquarelle of {}",
        "{} as a watercolor painting",
        "{} painted in watercolor",
        "make it a watercolor painting of {}",
        "turn {} into a watercolor",
        "{} in the style of a watercolour painting",
        "watercolor",
        "a loose aquarelle with washes, {}",
    ),
    "pencil": (
        "a pencil sketch of {}",
        "a pencil drawing of {}",
        "{}, black and white sketch",
        "a charcoal drawing of {}",
        "{} in the style of a graphite sketch",
        "{} as a pencil drawing",
        "{} drawn in pencil",
        "make it a pencil drawing of {}",
        "turn {} into a pencil sketch",
        "pencil sketch",
        "a hand drawn graphite sketch, {}",
        "{} in charcoal",
    ),
    "ukiyo-e": (
        "a ukiyo-e woodblock print of {}",
        "{} in ukiyo-e style",
        "a japanese woodblock print of {}",
        "{}, japanese print by hokusai",
        "{} as a japanese woodblock print",
        "make it a japanese woodblock print of {}",
        "turn {} into a ukiyo-e print",
        "{} in the style of hokusai",
        "a ukiyo-e picture of {} by hiroshige",
        "ukiyo-e",
        "a ukiyoe print of {}",
        "a woodcut from japan, {}",
    ),
    "neon": (
        "{} at night with neon lights",
        "a neon cyberpunk picture of {}",
        "{} in neon cyberpunk style",
        "a synthwave neon night scene of {}",
        "{} in glowing neon",
        "make it neon, {}",
        "turn {} into a cyberpunk night scene",
        "{} in the style of synthwave",
        "neon lights",
        "{} as a neon sign in the dark",
        "cyberpunk, {}",
    ),
    "winter": (
        "{} in winter",
        "{} covered in snow",
        "a snowy winter scene of {}",
        "a photo of {} in the snow",
        "{}, winter wonderland with snow",
        "make it winter, {}",
        "turn {} into a winter landscape",
        "make it snow on {}",
        "{} under fresh snow",
        "a snowy day, {}",
        "winter",
        "{} on a cold winter morning",
    ),
    "autumn": (
        "{} in autumn",
        "{} in the fall with orange leaves",
        "an autumn scene of {}",
        "{} covered in autumn leaves",
        "{} in golden autumn colors",
        "make it autumn, {}",
        "turn {} into an autumn landscape",
        "an autumn day with fallen leaves, {}",
        "autumn",
        "{} in fall foliage",
        "a photo of {} in october, autumn",
    ),
    "bronze": (
        "a bronze statue of {}",
        "{} made of bronze",
        "{} cast in bronze metal",
        "a metal sculpture of {}, bronze",
        "{} as a bronze sculpture",
        "make it bronze, {}",
        "turn {} into a bronze statue",
        "{} in the style of a bronze sculpture",
        "bronze",
        "an antique bronze cast with patina, {}",
        "{} in old bronze",
    ),
    "oil": (
        "an oil painting of {}",
        "{} in the style of van gogh",
        "a van gogh painting of {}",
        "an impressionist oil painting of {} with swirling strokes",
        "{} as an oil painting",
        "{} painted by van gogh, starry night",
        "make it an oil painting of {}",
        "turn {} into a van gogh painting",
        "{} in oil on canvas",
        "van gogh",
        "oil painting with thick brush strokes, {}",
        "make it look like van gogh, {}",
    ),
    "blueprint": (
        "a blueprint of {}",
        "{} as a technical blueprint",
        "blueprint drawing of {}",
        "{}, white lines on blue paper, blueprint",
        "make it a blueprint of {}",
        "turn {} into a blueprint",
        "{} in the style of a blueprint",
        "blueprint",
        "an architect's blueprint, {}",
        "an old cyanotype blueprint plan of {}",
        "{} in blueprint style",
    ),
    "lava": (
        "{} made of lava",
        "{} in molten lava and fire",
        "a burning lava scene of {}",
        "{} on fire, volcanic magma",
        "{} as glowing lava",
        "make it lava, {}",
        "turn {} into lava",
        "{} in the style of a volcanic eruption",
        "lava",
        "{} melting in magma",
        "a volcanic landscape of lava, {}",
    ),
    "comic": (
        "a comic book drawing of {}",
        "{} in comic style",
        "a comic panel of {}",
        "{} as a cartoon",
        "a cel shaded cartoon of {}",
        "make it a comic, {}",
        "turn {} into a comic book",
        "{} in the style of a comic book",
        "comic book art with ink and halftone dots, {}",
        "{}, pop art comic",
        "comic",
        "a cartoon of {}",
        "{} in the style of pop art",
    ),
    "stained-glass": (
        "a stained glass window of {}",
        "{} in stained glass",
        "{} as a stained glass window",
        "a stained-glass picture of {}",
        "make it stained glass, {}",
        "turn {} into a stained glass window",
        "{} in the style of stained glass",
        "stained glass",
        "a church window of stained glass, {}",
        "{} made of stained glass and lead",
        "a cathedral window showing {}",
    ),
    "mosaic": (
        "a mosaic of {}",
        "{} as a mosaic",
        "{} in mosaic tiles",
        "a roman mosaic of {}",
        "a byzantine mosaic of {} on gold",
        "make it a mosaic of {}",
        "turn {} into a mosaic",
        "{} in the style of a mosaic",
        "mosaic",
        "a floor mosaic of small square stones, {}",
        "{}, byzantine mosaic",
    ),
    "chalkboard": (
        "a chalk drawing of {}",
        "{} drawn in chalk on a blackboard",
        "a chalkboard drawing of {}",
        "{} on a chalkboard",
        "make it a chalk drawing of {}",
        "turn {} into a chalkboard picture",
        "{} in the style of a chalk drawing",
        "chalkboard",
        "a school blackboard with {} in coloured chalk",
        "{} in chalk",
        "chalk lines on a green blackboard, {}",
    ),
    "marble": (
        "a marble statue of {}",
        "{} made of white marble",
        "{} carved in marble",
        "a marble sculpture of {}",
        "{} as a marble statue in a museum",
        "make it marble, {}",
        "turn {} into a marble statue",
        "{} in the style of a marble sculpture",
        "marble",
        "polished white marble with grey veins, {}",
        "{} in carrara marble",
    ),
    "ice": (
        "{} made of ice",
        "an ice sculpture of {}",
        "{} frozen in ice",
        "{} as an ice sculpture",
        "make it ice, {}",
        "turn {} into ice",
        "{} in the style of an ice sculpture",
        "ice",
        "clear blue ice, {}",
        "a frozen world of ice with {}",
        "{} carved from a glacier",
    ),
    "moss": (
        "{} covered in moss",
        "{} overgrown with moss",
        "a mossy picture of {}",
        "{} made of moss",
        "make it overgrown, {}",
        "turn {} into moss",
        "{} in the style of a mossy forest",
        "moss",
        "an overgrown ruin of {} with green moss",
        "green moss on {}",
        "{}, overgrown by plants",
    ),
    "sepia": (
        "a sepia photograph of {}",
        "{} in sepia",
        "a vintage photo of {}",
        "an old sepia photograph of {}",
        "make it a sepia photo of {}",
        "turn {} into a vintage photograph",
        "{} in the style of an old photograph, sepia",
        "sepia",
        "a faded antique sepia picture of {}",
        "{}, vintage photo",
        "a daguerreotype of {} in sepia tones",
    ),
}
"""style -> sentences with at most one place for the content; the model knows these styles and words
"""

KEY_WORDS: dict[str, tuple[str, ...]] = {
    "photo": ("photo", "photograph", "photography"),
    "watercolor": ("watercolor", "watercolour", "aquarelle"),
    "pencil": ("pencil", "charcoal", "graphite", "sketch"),
    "ukiyo-e": ("ukiyo", "ukiyoe", "woodblock", "woodcut", "japanese", "hokusai", "hiroshige"),
    "neon": ("neon", "cyberpunk", "synthwave"),
    "winter": ("winter", "snow", "snowy"),
    "autumn": ("autumn", "fall"),
    "bronze": ("bronze",),
    "oil": ("oil", "gogh", "impressionist"),
    "blueprint": ("blueprint", "cyanotype"),
    "lava": ("lava", "magma", "volcanic"),
    "comic": ("comic", "cartoon", "halftone", "pop"),
    "stained-glass": ("stained", "cathedral"),
    "mosaic": ("mosaic",),
    "chalkboard": ("chalk", "chalkboard", "blackboard"),
    "marble": ("marble",),
    "ice": ("ice", "glacier", "frozen"),
    "moss": ("moss", "mossy", "overgrown"),
    "sepia": ("sepia", "vintage", "daguerreotype"),
}
"""style -> words of which each of its sentences has one, but for plain ones of the photograph"""

_EMBELLISHMENTS = (
    "highly detailed",
    "detailed",
    "high quality",
    "best quality",
    "masterpiece",
    "beautiful",
    "sharp focus",
    "4k",
    "8k",
    "intricate",
    "cinematic lighting",
    "trending on artstation",
    "award winning",
    "please",
)
"""words that users add and that must change nothing"""
_EMBELLISHED = 0.25
"""share of captions that have some"""

_NOUNS = {
    "sphere": ("sphere", "ball", "orb"),
    "box": ("box", "cube", "block"),
    "cylinder": ("cylinder", "column", "pillar"),
    "cone": ("cone", "pyramid", "spire"),
    "torus": ("ring", "torus", "donut"),
    "tree": ("tree",),
    "bush": ("bush", "shrub", "hedge"),
    "rock": ("rock", "boulder", "stone"),
    "house": ("house", "building", "hut"),
    "plant": ("plant", "fern", "houseplant"),
    "table": ("table", "desk"),
    "shelf": ("shelf", "cupboard", "bookcase"),
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
    "a still life of some toys",
    "the scene",
    "this place",
    "an office",
    "a park",
    "a street with houses",
    "a kitchen",
    "it",
)
_ELSEWHERE = (
    "forest", "bear", "person", "face", "mountain", "lake", "river", "city", "street", "car",
    "horse", "dog", "cat", "flower", "chair", "truck", "bicycle", "bench", "bonsai", "ship",
    "boat", "dragon", "castle", "tower", "bridge", "fruit", "apple", "bowl", "vase", "head",
    "man", "woman", "child", "dancer", "robot", "lamp", "sofa", "bed", "window", "door", "wall",
    "floor", "kitchen", "garden", "beach", "field", "farm", "barn", "church", "temple", "ruin",
    "cave", "island", "waterfall", "train", "bus", "airplane", "bottle", "cup", "book", "guitar",
    "piano", "computer", "keyboard", "shoe", "hat", "teapot", "bird", "fish", "lion", "elephant",
    "rabbit", "fox", "skull", "pumpkin", "cactus", "mushroom", "rose", "sunflower", "lego", "toy",
    "figurine", "machine", "engine", "museum", "hall", "corridor", "staircase",
)  # fmt: skip
"""what users show and the generator does not: words that must change nothing, so no style hangs on
them"""


def content(named: NamedScene, rng: np.random.Generator) -> str:
    """Some of the scene's objects in words, now and then a vague noun or quite other things."""
    chance = rng.random()
    if chance < 0.12:
        return _something_else(rng)
    if chance < 0.32 or not named.objects:
        return str(rng.choice(_VAGUE))
    count = min(len(named.objects), int(rng.integers(1, 4)))
    chosen = np.sort(rng.choice(len(named.objects), size=count, replace=False))
    words = [_phrase(named.objects[index], rng) for index in chosen]
    listed = words[0] if count == 1 else ", ".join(words[:-1]) + " and " + words[-1]
    if rng.random() < 0.5:
        listed += str(rng.choice([" on ", " standing on "])) + named.ground
    return listed


def content_of_photograph(shows: str, rng: np.random.Generator) -> str:
    """What a photograph shows, or now and then only a vague noun, or quite other things."""
    chance = rng.random()
    if chance < 0.15:
        return _something_else(rng)
    return str(rng.choice(_VAGUE)) if chance < 0.4 else shows


def caption(named: NamedScene, style: str, rng: np.random.Generator) -> str:
    """One sentence: the scene's content in the words of the style."""
    return sentence(content(named, rng), style, rng)


def sentence(shown: str, style: str, rng: np.random.Generator) -> str:
    """What is shown in a random template of the style, sometimes embellished."""
    templates = TEMPLATES[style]
    words = templates[int(rng.integers(len(templates)))].format(shown)
    if rng.random() < _EMBELLISHED:
        count = int(rng.integers(1, 3))
        words = ", ".join([words, *rng.choice(_EMBELLISHMENTS, count, replace=False)])
    return words


def _something_else(rng: np.random.Generator) -> str:
    thing, place = rng.choice(_ELSEWHERE, 2, replace=False)
    return _one(thing) if rng.random() < 0.5 else f"{_one(thing)} and {_one(place)}"


def _phrase(named_object: str, rng: np.random.Generator) -> str:
    *colour, kind = named_object.split()
    noun = str(rng.choice(_NOUNS[kind]))
    described = " ".join([*colour, noun]) if rng.random() < 0.7 else noun
    return _one(described)


def _one(noun: str) -> str:
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"
