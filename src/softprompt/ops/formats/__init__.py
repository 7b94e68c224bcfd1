"""Prompts in the formats of others: what is written for them, what is read from them, and ways to another model.

Files become plain tensors here and nothing is executed: no pickle is read, and no library of theirs is imported.
"""
