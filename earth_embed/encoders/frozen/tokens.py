"""Texts as tokens, by the tokenizer.json that lies beside published weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from earth_embed.encoders.frozen.inputs import TextInput
from earth_embed.encoders.frozen.text import PADDING
from earth_embed.errors import DataError, require

STEP = 8
"""Lengths are multiples of this, so that few of them are compiled."""


class Tokeniser:
    """CLIP's byte pairs, BERT's word pieces, or whatever else the file defines."""

    def __init__(self, path: Path, read: TextInput) -> None:
        """Reads a tokenizer.json.

        Args:
            path: The file.
            read: What the encoder reads.

        Raises:
            DataError: no such file, or one that is no tokeniser, or that of another encoder.
            EarthEmbedError: the package that reads it is missing.
        """
        try:
            from tokenizers import Tokenizer
        except ImportError as error:
            raise require("tokenizers", "features", f"reading {path}") from error
        if not path.is_file():
            raise DataError(f"no tokeniser {str(path)!r}: expected the model's tokenizer.json")
        try:
            self._tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # its Rust side raises nothing more special
            raise DataError(f"{path} is no tokenizer.json: {error}") from error
        if (found := self._tokenizer.get_vocab_size()) != read.vocabulary:
            raise DataError(
                f"{path} has {found} tokens; expected the encoder's, with {read.vocabulary}"
            )
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(read.length)
        self._length = read.length

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """Tokens (N, T) int32, filled up with PADDING; T is the longest's, rounded up."""
        tokens = [encoding.ids for encoding in self._tokenizer.encode_batch(list(texts))]
        longest = max(map(len, tokens), default=0)
        filled = np.full((len(tokens), min(self._length, -(-longest // STEP) * STEP)), PADDING)
        for row, ids in enumerate(tokens):
            filled[row, : len(ids)] = ids
        return filled.astype(np.int32)
