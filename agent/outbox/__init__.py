"""The outbox: the SQLite file that holds rule memory, events, owed deliveries and counters.

Nothing outside knows SQL.

`batch` gathers what one commit makes durable, `outbox` commits it and lends deliveries to the couriers;
beneath them `store` (SQL), `schema` (tables), `lanes` (which delivery goes next), `ledger` (which input was
seen before), `lock` (one agent for each file).
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
    "enable_webhook",
]


def enable_webhook(state_dir: Path, name: str) -> bool:
    """Let a disabled webhook be tried again, while no agent runs. Returns whether the outbox knows it.

    Raises Locked.
    """
    lock = FileLock(state_dir / "outbox.lock")
    try:
        store = Store(state_dir / "outbox.db")
        try:
            return store.enable(name)
        finally:
            store.close()
    finally:
        lock.release()
