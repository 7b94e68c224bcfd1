"""Frozen models as softprompt drives them: the only door to transformers, and where prompts meet a model."""
