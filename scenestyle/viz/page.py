"""What all pages have in common: one look, escaped texts, and images inside the page."""

import base64
import io

import numpy as np
from jaxtyping import Float
from PIL import Image

from scenestyle.viz.contact_sheet import to_pil

_JPEG_QUALITY = 88


def render_page(package: str, template: str, **values: object) -> str:
    """Fill a template of a package; every value is plain text and gets escaped.

    In templates, `jpeg` makes the data URI of an image, reduced to a longest side if one is given,
    `data_uri` that of a file's bytes, and `base64` the bare text. The style sheet of all pages is
    included by `page.css.jinja`.
    """
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=ChoiceLoader([PackageLoader(name, "") for name in (package, "scenestyle.viz")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(jpeg=jpeg_uri, data_uri=data_uri, base64=_base64)
    return environment.get_template(template).render(**values)


def data_uri(content: bytes, media_type: str) -> str:
    """The file itself as an address, so that a page needs nothing beside it."""
    return f"data:{media_type};base64,{_base64(content)}"


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


def jpeg_uri(picture: Float[np.ndarray, "height width 3"], max_side: int | None = None) -> str:
    """An image, RGB in [0, 1], as JPEG in a data URI.

    Args:
        picture: An image of any size, RGB in [0, 1].
        max_side: Longest side to which it is reduced, pixels; None: as it is.
    """
    image = to_pil(picture)
    if max_side is not None:
        image.thumbnail((max_side, max_side), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=_JPEG_QUALITY, optimize=True)
    return data_uri(file.getvalue(), "image/jpeg")
