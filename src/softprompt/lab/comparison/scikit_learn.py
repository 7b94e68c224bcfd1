"""The door to scikit-learn: its modules are imported when a contender that needs them is fitted.

Knows no contender.
"""

import importlib
from types import ModuleType

from softprompt.core.errors import ExtraError

__all__ = ["sklearn"]


def sklearn(name: str, *, purpose: str) -> ModuleType:
    """A module of scikit-learn, imported when it is needed.

    Raises:
        ExtraError: ``extra.missing``.
    """
    try:
        return importlib.import_module(f"sklearn.{name}")
    except ImportError:
        raise ExtraError.needs("scikit-learn", extra="compare", purpose=purpose) from None
