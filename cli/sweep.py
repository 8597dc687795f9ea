"""Styles with other values of some of their parameters, to see them side by side."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import product

from scenestyle.errors import ParamsError
from scenestyle.params import Style, faults_in


def swept(styles: Mapping[str, Style], values: Mapping[str, Sequence[float]]) -> dict[str, Style]:
    """Every style with every combination of the values.

    Args:
        styles: Styles by id.
        values: Fields of `Style` and the values to give them; a field without values stays as it
            is.

    Returns:
        The styles by a label of id and values, in the order of the styles.

    Raises:
        ParamsError: If values are out of their range; names all of them.
    """
    given = {field: each for field, each in values.items() if each}
    combinations = [dict(zip(given, each, strict=True)) for each in product(*given.values())]
    return {
        _label(style_id, chosen): _changed(style, chosen)
        for style_id, style in styles.items()
        for chosen in combinations
    }


def _label(style_id: str, chosen: Mapping[str, float]) -> str:
    return ", ".join(
        [style_id, *(f"{field.replace('_', ' ')} {value:g}" for field, value in chosen.items())]
    )


def _changed(style: Style, chosen: Mapping[str, float]) -> Style:
    values = {**asdict(style), **chosen}
    if faults := faults_in(Style, values):
        raise ParamsError(f"A style cannot have these values: {'; '.join(faults)}.")
    return Style(**values)
