"""Tiny models as folders: what there is to load."""

from pathlib import Path
from typing import Any

from softprompt.testing import ENCODERS, tiny, tiny_tokenizer

__all__ = ["saved"]


def saved(folder: Path, family: str = "llama", **options: Any) -> Path:
    """A whole model folder as save_pretrained writes it; options are its own."""
    tiny(family).model.save_pretrained(folder, **options)  # type: ignore[attr-defined]
    tokenizer = tiny_tokenizer()
    if family in ENCODERS:
        tokenizer.add_special_tokens({"mask_token": "<mask>"})
    tokenizer.save_pretrained(folder)
    return folder
