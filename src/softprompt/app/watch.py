"""How a recipe tells what it is doing; faces subclass this, the default is silent."""

__all__ = ["Watcher"]


class Watcher:
    """Hears of stages, progress and remarks. Recipes never print."""

    def stage(self, name: str, *, total: int | None = None, unit: str = "") -> None:
        """A stage begins; the one before is over."""

    def advance(self, done: int, **facts: object) -> None:
        """So much of the stage is done; ``facts`` are worth showing (loss, metric, tokens a second, seconds left)."""

    def note(self, text: str) -> None:
        """Something the user should know."""

    def done(self) -> None:
        """Nothing more will come."""
