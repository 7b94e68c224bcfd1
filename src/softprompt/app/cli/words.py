"""The words of :mod:`softprompt.core.words`, where commands look for them."""

from softprompt.core.words import age, amount, counted, duration, fact, interval, percent, size

__all__ = ["age", "amount", "counted", "duration", "fact", "interval", "percent", "size"]
