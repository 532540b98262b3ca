"""Eyes that see one snapshot, whatever the window."""

from collections.abc import Callable
from dataclasses import dataclass

from agent.status.history import History
from agent.status.snapshot import ALL, Snapshot, Window


@dataclass(frozen=True)
class Fixed:
    """What `agent.status.snapshot.Eyes` asks for."""

    show: Callable[[], Snapshot]
    good: bool = True

    def snapshot(self, _: Window = ALL) -> Snapshot:
        return self.show()

    def history(self, _: str) -> History | None:
        return None

    def ready(self) -> bool:
        return self.good

    def alive(self) -> bool:
        return self.good
