import json
import re

import pytest
from transformers import CLIPTokenizer

from scenestyle.diffusion.known_styles import (
    ANY_CAPTION,
    STYLES_FILE,
    as_taught,
    named_styles,
    read_known_styles,
    style_warnings,
)
from scenestyle.diffusion.weights import EMBEDDED_FOLDER
from scenestyle.errors import WeightsError
from scenestyle.params import Style, load_params
from training.procedural.captions import TEMPLATES

KNOWN = {"oil": ("oil", "gogh"), "winter": ("winter", "snow"), "ukiyo-e": ("ukiyo",)}


@pytest.mark.parametrize(
    ("prompt", "styles"),
    [
        ("an OIL painting", ["oil"]),
        ("{caption}, by Van Gogh, in the snow", ["oil", "winter"]),
        ("a ukiyo-e print", ["ukiyo-e"]),
        ("boiled snowdrops", []),
        ("", []),
    ],
)
def test_a_style_is_named_by_a_whole_word_in_any_case(prompt, styles):
    assert named_styles(prompt, KNOWN) == styles


def test_a_prompt_for_an_unknown_style_gets_one_warning_that_lists_the_known_ones():
    (warning,) = style_warnings("{caption} as a cubist painting", KNOWN)
    assert "cubist" in warning
    assert all(style in warning for style in KNOWN)
    assert style_warnings("{caption} in winter", KNOWN) == []


def test_weights_without_a_list_know_every_style(tmp_path):
    assert read_known_styles(tmp_path) == {}
    assert style_warnings("{caption} as a cubist painting", {}) == []


@pytest.mark.parametrize("text", ["[1]", '{"oil": 3}', '{"oil": [3]}', "{"])
def test_a_damaged_list_is_named(tmp_path, text):
    (tmp_path / STYLES_FILE).write_text(text)
    with pytest.raises(WeightsError, match=re.escape(str(tmp_path / STYLES_FILE))):
        read_known_styles(tmp_path)


def test_the_list_reads_back(tmp_path):
    (tmp_path / STYLES_FILE).write_text(json.dumps(KNOWN))
    assert read_known_styles(tmp_path) == KNOWN


def test_the_embedded_weights_know_every_style_that_comes_with_the_project(pytestconfig):
    known = read_known_styles(EMBEDDED_FOLDER)
    for name, style in load_params(pytestconfig.rootpath / "params.yaml").styles.items():
        assert named_styles(style.prompt, known), name


def test_a_tiny_model_reads_neither_the_caption_nor_words_that_it_was_not_taught():
    tokenizer = CLIPTokenizer.from_pretrained(EMBEDDED_FOLDER / "tokenizer")
    style = Style(prompt="a dreamy watercolor painting of {caption}", negative_prompt="roses")
    read, strange = as_taught(style, tokenizer)
    assert read.prompt == f"a watercolor painting of {ANY_CAPTION}"
    assert read.negative_prompt == ""
    assert strange == ["dreamy", "roses"]


@pytest.mark.parametrize("words", list(TEMPLATES.values()), ids=list(TEMPLATES))
def test_every_sentence_that_a_tiny_model_was_taught_is_read_whole(words: tuple[str, ...]):
    tokenizer = CLIPTokenizer.from_pretrained(EMBEDDED_FOLDER / "tokenizer")
    for sentence in words:
        assert as_taught(Style(prompt=sentence.format(ANY_CAPTION)), tokenizer)[1] == []
