import numpy as np
import pytest

from training import tokenizer


@pytest.fixture(scope="module")
def words():
    return tokenizer.load()


@pytest.mark.parametrize(
    "sentence", ["a watercolor painting of a fern in an office", "zebra qux!", "ünïcode 猫"]
)
def test_any_sentence_survives_the_round_trip(words, sentence):
    ids = tokenizer.token_ids(words, [sentence])[0]
    decoded = words.decode(ids, skip_special_tokens=True)
    assert decoded.replace(" ", "") == sentence.replace(" ", "")


def test_captions_are_framed_and_padded(words):
    ids = tokenizer.token_ids(words, ["", "a red ball " * 30])
    assert ids.shape == (2, tokenizer.LENGTH)
    assert (ids[:, 0] == words.bos_token_id).all()
    assert (ids[:, -1] == words.eos_token_id).all()


def test_style_words_are_single_tokens(words):
    for word in (
        "watercolor",
        "pencil",
        "neon",
        "winter",
        "bronze",
        "gogh",
        "blueprint",
        "lava",
        "moss",
        "ice",
    ):
        assert len(words.tokenize(word)) == 1, word


@pytest.mark.parametrize(
    "sentence", ["a kandinsky painting", "xylophones & zebras, 2024", "übermäßig 猫"]
)
def test_words_outside_the_vocabulary_become_subwords(words, sentence):
    ids = tokenizer.token_ids(words, [sentence])[0]
    inside = ids[1 : list(ids[1:]).index(words.eos_token_id) + 1]
    assert words.unk_token_id not in inside
    assert len(set(inside)) > len(sentence.split())


def test_every_generated_caption_fits(words):
    captions = [
        sentence for sentence, _ in zip(tokenizer.corpus(seed=99), range(300), strict=False)
    ]
    ids = tokenizer.token_ids(words, captions)
    complete = [words.decode(row, skip_special_tokens=True) for row in ids]
    assert (
        np.mean(
            [
                c.replace(" ", "") == s.replace(" ", "")
                for c, s in zip(complete, captions, strict=True)
            ]
        )
        > 0.95
    )
