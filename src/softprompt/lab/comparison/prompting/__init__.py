"""Asking in words: rows become text prompts, without or with demonstrations, and a model's answers predictions."""
