"""How far an edit goes where its sentence points, in the space of CLIP embeddings.

Pure functions of embeddings; who computes them, and with which CLIP, decides whether figures of two
sources compare. C(.) is a normalised embedding, o_i and e_i are the original and the edited frame i
of one smooth path, T_o and T_e the captions of the scene and of the edit. Two figures go by the
name of "direction consistency" in the literature; here each has a name of its own.
"""

import numpy as np
from jaxtyping import Float

from scenestyle.errors import ShapeError

Embeddings = Float[np.ndarray, "_ dimension"]
Embedding = Float[np.ndarray, " dimension"]


def text_image_directional_similarity(
    original: Embeddings, edited: Embeddings, original_caption: Embedding, edit_caption: Embedding
) -> Float[np.ndarray, " frames"]:
    """CLIP-TIDS of each frame, cos( C(e_i) - C(o_i), C(T_e) - C(T_o) ).

    1: the images changed exactly where the sentence points; 0: elsewhere, or not at all.

    Args:
        original: Embeddings of the frames before the edit, of any length.
        edited: Embeddings of the same frames after the edit.
        original_caption: Embedding of what the scene shows.
        edit_caption: Embedding of the prompt.

    Raises:
        ShapeError: If there are not as many edited as original frames.

    Source: Gal et al. 2021, "StyleGAN-NADA", arXiv:2108.00946, section 4; as a metric in Brooks et
        al. 2022, "InstructPix2Pix", arXiv:2211.09800.
    """
    _check_pairs(original, edited)
    said = _unit(edit_caption) - _unit(original_caption)
    return _cosine(_unit(edited) - _unit(original), said[None])


def direction_consistency_edit(
    original: Embeddings, edited: Embeddings
) -> Float[np.ndarray, " pairs"]:
    """CLIP-DC "edit" of neighbours, cos( C(e_i) - C(o_i), C(e_i+1) - C(o_i+1) ).

    1: the edit takes neighbouring frames in one direction.

    Raises:
        ShapeError: If there are not as many edited as original frames, or fewer than two.

    Source: Haque et al. 2023, "Instruct-NeRF2NeRF", arXiv:2303.12789, who brought a direction
        consistency of neighbouring frames into use.
    """
    _check_pairs(original, edited, at_least=2)
    edit = _unit(edited) - _unit(original)
    return _cosine(edit[:-1], edit[1:])


def direction_consistency_motion(
    original: Embeddings, edited: Embeddings
) -> Float[np.ndarray, " pairs"]:
    """CLIP-DC "motion" of neighbours, cos( C(o_i+1) - C(o_i), C(e_i+1) - C(e_i) ).

    1: a camera step moves edited frames as it moves the original ones.

    Raises:
        ShapeError: If there are not as many edited as original frames, or fewer than two.
    """
    _check_pairs(original, edited, at_least=2)
    return _cosine(np.diff(_unit(original), axis=0), np.diff(_unit(edited), axis=0))


def _unit(vectors: Float[np.ndarray, "*any dimension"]) -> Float[np.ndarray, "*any dimension"]:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def _cosine(
    x: Float[np.ndarray, "rows dimension"], y: Float[np.ndarray, "_ dimension"]
) -> Float[np.ndarray, " rows"]:
    """Row by row; 0 where a vector has no direction."""
    lengths = np.linalg.norm(x, axis=-1) * np.linalg.norm(y, axis=-1)
    return np.divide((x * y).sum(-1), lengths, out=np.zeros_like(lengths), where=lengths > 1e-12)


def _check_pairs(original: Embeddings, edited: Embeddings, at_least: int = 1) -> None:
    if len(original) != len(edited) or len(original) < at_least:
        raise ShapeError(
            f"got {len(original)} original and {len(edited)} edited frames, wanted as many of "
            f"each, at least {at_least}."
        )
