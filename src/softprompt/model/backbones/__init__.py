"""Frozen models as softprompt drives them: the only door to transformers, and the one place where prompts meet a model."""
