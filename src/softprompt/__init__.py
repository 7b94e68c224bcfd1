"""Specialise a frozen language model to a task with a few kilobytes of learned prompt."""
