"""Saved prompts: what a user keeps of a training, and how it is written and read safely."""
