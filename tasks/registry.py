"""Names and the implementations behind them, open to third parties.

A registry belongs to one kind of thing ("fusion", "split strategy"). The project registers its own
implementations with a decorator; a third party registers through an entry point of the group
``fuseline.<kind with underscores>``, which is loaded only when a name is asked for.
"""

from collections.abc import Callable, Iterator
from importlib.metadata import entry_points
from typing import Generic, TypeVar

from tasks.errors import PipelineError, listing, nearest

T = TypeVar("T")


class Registry(Generic[T]):
    """Implementations of one kind, by name.

    >>> greetings = Registry("greeting")
    >>> @greetings.register("plain")
    ... def plain() -> str:
    ...     return "hello"
    >>> greetings.get("plain")()
    'hello'
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._known: dict[str, T] = {}

    def register(self, name: str) -> Callable[[T], T]:
        """Decorate an implementation with its name; a name can be taken once."""

        def remember(implementation: T) -> T:
            if name in self._known:
                raise PipelineError(f"{self.kind} '{name}' is registered twice; rename one.")
            self._known[name] = implementation
            return implementation

        return remember

    def get(self, name: str) -> T:
        """Return what is registered under ``name``.

        Raises:
            PipelineError: The name is unknown; the message lists those that are known.
        """
        if name not in self._known:
            self._load_entry_points()
        if name not in self._known:
            raise PipelineError(
                f"unknown {self.kind} '{name}'; known are {listing(sorted(self._known))}."
                f"{nearest(name, self._known)}"
            )
        return self._known[name]

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._known))

    def __contains__(self, name: str) -> bool:
        return name in self._known

    def _load_entry_points(self) -> None:
        for entry in entry_points(group=f"fuseline.{self.kind.replace(' ', '_')}"):
            if entry.name not in self._known:
                self._known[entry.name] = entry.load()
