"""Tokenizers: the file's tokens, cut with their end kept, filled up with 0."""

import json

import numpy as np
import pytest
import tokenizers
from hypothesis import strategies as st
from tokenizers import models, pre_tokenizers, processors

from earth_embed.errors import DataError
from earth_embed.features.inputs import TextInput, Tokenizer
from tests.fuzzing import fuzz

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "zu", "##rich", "##g", "san", "jose"]


@pytest.fixture
def file(tmp_path):
    """Word pieces with BERT's beginning and end, and padding of the file's own."""
    tokenizer = tokenizers.Tokenizer(
        models.WordPiece({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]")
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer.enable_padding(length=50)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    return tmp_path / "tokenizer.json"


def test_tokens(file):
    found = Tokenizer(file, TextInput(20, len(WORDS)))(["zurich", "san jose zug", "?"])
    expected = [[2, 4, 5, 3], [2, 7, 8, 4, 6, 3], [2, 1, 3]]
    assert found.dtype == np.int32
    assert found.shape == (3, 8)
    assert [row[row != 0].tolist() for row in found] == expected


def test_long_texts_keep_their_end(file):
    found = Tokenizer(file, TextInput(12, len(WORDS)))(["san " * 30, "zug"])
    assert found.shape == (2, 12)
    assert found[0].tolist() == [2, *[7] * 10, 3]


def test_another_encoders_file_is_refused(file):
    with pytest.raises(DataError, match="has 9 tokens; expected the encoder's, with 10"):
        Tokenizer(file, TextInput(8, 10))


def test_other_files_are_refused(tmp_path):
    path = tmp_path / "tokenizer.json"
    with pytest.raises(DataError, match=r"no tokenizer '.*': expected the model's tokenizer\.json"):
        Tokenizer(path, TextInput(8, len(WORDS)))
    path.write_text("{}")
    with pytest.raises(DataError, match=r"tokenizer\.json is no tokenizer\.json: "):
        Tokenizer(path, TextInput(8, len(WORDS)))


def test_a_token_beyond_the_encoders_is_refused(file):
    content = json.loads(file.read_text())
    content["post_processor"]["cls"] = ["[CLS]", 10**6]
    file.write_text(json.dumps(content))
    with pytest.raises(DataError, match="gives token 1000000; expected numbers below 9"):
        Tokenizer(file, TextInput(8, len(WORDS)))(["zurich"])


@fuzz(
    200,
    place=st.integers(0, 4000),
    removed=st.integers(0, 3),
    new=st.text('0123456789"{}[],:ab-U', max_size=3),
)
def test_a_damaged_tokenizer_gives_tokens_or_one_error(file, place, removed, new):
    whole = file.read_text()
    place %= len(whole)
    path = file.with_name("damaged.json")
    path.write_text(whole[:place] + new + whole[place + removed :])
    try:
        found = Tokenizer(path, TextInput(8, len(WORDS)))(["zurich", "", "?"])
    except DataError as error:
        assert "damaged.json" in str(error)  # noqa: PT017
    else:
        assert found.dtype == np.int32
        assert 0 <= found.min() <= found.max() < len(WORDS)
