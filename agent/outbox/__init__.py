"""The outbox: the SQLite file that holds rule memory, events, owed deliveries and counters.

Nothing outside knows SQL.

`batch` gathers what one commit makes durable, `outbox` commits it, a `mailbox` lends deliveries to its courier;
`letters` finds what people ask for, `idle` does so, and moves it, while no agent runs; `backup` copies the file, and
puts it back. Beneath them `store` is one commit in its order: `marks` (what became of attempts), `leaving` (what goes),
`owing` (what comes, `packing` how it is kept), `intake` (the `ledger`: which input was seen before), `counting` (the
numbers that must be exact). `file` is the open file, `writeahead` its log, `schema` its tables, `start` what is found
there; `waiting` what mailboxes ask of it, `lanes` which delivery goes next, `retention` what time ends, `untimed`
events whose time is not sure; `lock` lets one agent have it, `owner` says whose the files are. When it is full:
`bounds` (what goes), `room` (what may), `claims` (what couriers have stays), `losses` (how it is told), `disk` (its
room, and the ballast). When it is damaged: `checksums` (of rows), `inspection` (of the file), `salvage` (what is
readable is saved), `placing` (of a new file).
"""

from agent.outbox.backup import Restored, back_up, put_back
from agent.outbox.batch import Batch, Draft, Envelope, Key
from agent.outbox.bounds import Limits
from agent.outbox.idle import IdleOutbox, opened_idle, switch_webhook
from agent.outbox.ledger import Ledger
from agent.outbox.letters import PAGE_ROWS, Archive, Filter, Letter, Matching, Moved, Span, Standing
from agent.outbox.lock import Locked
from agent.outbox.mailbox import Mailbox
from agent.outbox.outbox import BatchRefused, Outbox
from agent.outbox.schema import NewerSchema
from agent.outbox.start import Loaded

__all__ = [
    "PAGE_ROWS",
    "Archive",
    "Batch",
    "BatchRefused",
    "Draft",
    "Envelope",
    "Filter",
    "IdleOutbox",
    "Key",
    "Ledger",
    "Letter",
    "Limits",
    "Loaded",
    "Locked",
    "Mailbox",
    "Matching",
    "Moved",
    "NewerSchema",
    "Outbox",
    "Restored",
    "Span",
    "Standing",
    "back_up",
    "opened_idle",
    "put_back",
    "switch_webhook",
]
