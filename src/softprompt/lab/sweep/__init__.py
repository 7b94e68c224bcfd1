"""Searching settings: many short trials over one model and one set of frozen states, several in one pass."""
