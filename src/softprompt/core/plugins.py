"""Tables that others can add to: names and entries of one kind, ours, registered ones and those of installed packages.

Nothing is loaded before somebody asks for it by name: an entry point of an installed package is imported when a user
writes its name, and importing softprompt imports none of them.

Knows no methods, metrics or backbones: each table stands beside the code that reads it.
"""

from collections.abc import Iterator, Mapping
from importlib.metadata import entry_points
from typing import Any, TypeVar

from softprompt.core.errors import ConfigError, nearest

__all__ = ["Table"]

T = TypeVar("T")


class Table(Mapping[str, T]):
    """Entries of one kind by name.

    Args:
        kind: What an entry is, for messages.
        group: Group of entry points that installed packages add to.
        entry: Class of the entries.
        own: The entries that are ours.

    >>> sizes = Table("size", "example.sizes", entry=int, own={"small": 1, "large": 9})
    >>> sizes.register("huge", 99)
    >>> sizes["huge"], sorted(sizes)
    (99, ['huge', 'large', 'small'])
    >>> sizes["smal"]
    Traceback (most recent call last):
    softprompt.core.errors.ConfigError: unknown size 'smal'; did you mean 'small'? ... [config.unknown_name]
    """

    def __init__(self, kind: str, group: str, *, entry: type[T], own: Mapping[str, T]) -> None:
        self.kind, self.group, self.own = kind, group, dict(own)
        self._entry = entry
        self._added: dict[str, T] = {}

    def register(self, name: str, entry: T) -> None:
        """Add an entry; the same one again changes nothing, so that a notebook cell may be run twice.

        Raises:
            ConfigError: ``config.name_taken`` for the name of one of ours; ``config.bad_plugin`` for something else
                than an entry.
        """
        if name in self.own:
            message = f"the {self.kind} {name!r} is one of softprompt's own"
            raise ConfigError("config.name_taken", message, cure="choose another name")
        self._added[name] = self._checked(name, entry)

    def __getitem__(self, name: str) -> T:
        """The entry of a name; one of an installed package is imported now.

        Raises:
            ConfigError: ``config.unknown_name``, ``config.bad_plugin``.
        """
        if name in self.own:
            return self.own[name]
        if name not in self._added:
            found = entry_points(group=self.group, name=name)
            if not found:
                raise ConfigError("config.unknown_name", f"unknown {self.kind} {name!r}; {nearest(name, self)}")
            self._added[name] = self._load(name, next(iter(found)))
        return self._added[name]

    def __contains__(self, name: object) -> bool:
        return name in set(self)

    def __iter__(self) -> Iterator[str]:
        """All names, without importing anything."""
        installed = (point.name for point in entry_points(group=self.group))
        return iter(dict.fromkeys((*self.own, *self._added, *installed)))

    def __len__(self) -> int:
        return len(list(iter(self)))

    def _load(self, name: str, point: Any) -> T:
        try:
            entry = point.load()
        except Exception as error:  # whatever a package's import raises is that package's fault
            message = f"the plug-in {point.value} of the {self.kind} {name!r} cannot be imported: {error}"
            raise ConfigError("config.bad_plugin", message, cure="repair or remove the package it is from") from error
        return self._checked(name, entry)

    def _checked(self, name: str, entry: Any) -> T:
        if not isinstance(entry, self._entry):
            came = f"the {self.kind} {name!r} is a {type(entry).__name__}, not a {self._entry.__name__}"
            raise ConfigError("config.bad_plugin", came, cure=f"register a {self._entry.__name__}")
        return entry
