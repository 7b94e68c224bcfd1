"""Comparisons of the example messages and of public data: their settings, their rows, and the page they make."""
