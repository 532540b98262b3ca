"""The outbox: the SQLite file that holds rule memory, events, owed deliveries and counters.

Nothing outside knows SQL.

`batch` gathers what one commit makes durable, `outbox` commits it and lends deliveries to the couriers;
beneath them `store` (SQL), `schema` (tables), `lanes` (which delivery goes next), `ledger` (which input was
seen before), `untimed` (events whose time is not sure), `lock` (one agent for each file).
"""

from pathlib import Path

from agent.outbox.batch import Batch, Draft, Envelope, Key
from agent.outbox.ledger import Ledger
from agent.outbox.lock import FileLock, Locked
from agent.outbox.outbox import BatchRefused, Mailbox, Outbox
from agent.outbox.schema import NewerSchema
from agent.outbox.store import Loaded, Store

__all__ = [
    "Batch",
    "BatchRefused",
    "Draft",
    "Envelope",
    "Key",
    "Ledger",
    "Loaded",
    "Locked",
    "Mailbox",
    "NewerSchema",
    "Outbox",
    "switch_webhook",
]


def switch_webhook(state_dir: Path, name: str, *, enabled: bool) -> bool:
    """Enable or disable a webhook, while no agent runs. Returns whether the outbox knows it.

    Raises Locked, OSError.
    """
    path = state_dir / "outbox.db"
    path.stat()  # so that none is made
    lock = FileLock(state_dir / "outbox.lock")
    try:
        store = Store(path)
        try:
            return store.switch(name, enabled=enabled)
        finally:
            store.close()
    finally:
        lock.release()
