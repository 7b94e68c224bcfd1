"""Parts of benchmarks/methods.py: ways of tuning, their trials, the page and the picture."""
