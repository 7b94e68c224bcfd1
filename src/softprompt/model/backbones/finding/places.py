"""Where models lie: the one that ships with the package, and folders. Knows names and paths; loads nothing."""

from importlib import resources
from pathlib import Path

__all__ = ["embedded_folder", "model_folder"]


def embedded_folder() -> Path:
    """Folder of the model that ships with the package."""
    return Path(str(resources.files("softprompt") / "assets" / "embedded"))


def model_folder(name: str | Path) -> Path:
    """Where a model by this name lies, if it is a folder; a hub id gives a folder that is not there.

    >>> model_folder("embedded") == embedded_folder(), model_folder("models/small").as_posix()
    (True, 'models/small')
    """
    return embedded_folder() if str(name) == "embedded" else Path(name).expanduser()
