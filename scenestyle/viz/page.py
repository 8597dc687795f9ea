"""What all pages have in common: one look, escaped texts, and pictures inside the page."""

import base64
import io

import numpy as np
from jaxtyping import Float

from scenestyle.viz.contact_sheet import to_pil

_JPEG_QUALITY = 88


def render_page(template: str, **values: object) -> str:
    """Fill a template of this folder; every value is plain text and gets escaped.

    In templates, `jpeg` makes the data URI of a picture, `data_uri` that of a file's bytes.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("scenestyle.viz", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(jpeg=_jpeg_uri, data_uri=data_uri)
    return environment.get_template(template).render(**values)


def jpeg(picture: Float[np.ndarray, "height width 3"], *, quality: int = _JPEG_QUALITY) -> bytes:
    """A picture, RGB in [0, 1], as the bytes of a JPEG file."""
    file = io.BytesIO()
    to_pil(picture).save(file, "JPEG", quality=quality, optimize=True)
    return file.getvalue()


def data_uri(content: bytes, media_type: str) -> str:
    """The file itself as an address, so that a page needs nothing beside it."""
    return f"data:{media_type};base64,{base64.b64encode(content).decode('ascii')}"


def _jpeg_uri(picture: Float[np.ndarray, "height width 3"]) -> str:
    return data_uri(jpeg(picture), "image/jpeg")
