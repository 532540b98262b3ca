"""The outbox: the SQLite file that holds rule memory, events, owed deliveries and counters.

Nothing outside knows SQL.

From the top: `outbox` opens, adopts, commits and closes; its parts are in the rooms beneath.

    What waits for a commit     `batch` is one in the making, `gathering` the marks that ride in it, `freezing` events
                                whose time is not sure (`untimed`)
    What makes it durable       `committing` tries until it is, on the thread of the `worker`; `mending` gives that a
                                sound file where the card has damaged it
    What looks after the file   `sweeping` finds what has expired and what to purge (`retention`), `telling` tells what
                                was lost (`losses`)
    What couriers see           the `mailroom` has a `mailbox` for each, which lends what its `lanes` say is next, and
                                asks the file what is `waiting`
    What people ask for         `letters` finds it; `moving` sends it again or gives it up while the agent runs, `idle`
                                while none does; `backup` copies the file, and puts it back

Beneath them `store` is one commit in its order: `marks` (what became of attempts), `leaving` (what goes), `owing` (what
comes, `packing` how it is kept), `intake` (the `ledger`: which input was seen before), `counting` (the numbers that
must be exact). `file` is the open file, `writeahead` its log, `schema` its tables, `start` what is found there; `lock`
lets one agent have it, `owner` says whose the files are. When it is full: `bounds` (what goes), `room` (what may),
`claims` (what couriers have stays), `disk` (its room, and the ballast). When it is damaged: `checksums` (of rows),
`inspection` (of the file), `salvage` (what is readable is saved), `placing` (of a new file).
"""

from agent.outbox.backup import Restored, back_up, put_back
from agent.outbox.batch import Batch, Draft, Envelope, Key
from agent.outbox.bounds import Limits
from agent.outbox.committing import BatchRefused
from agent.outbox.idle import IdleOutbox, opened_idle, switch_webhook
from agent.outbox.ledger import Ledger
from agent.outbox.letters import PAGE_ROWS, Archive, Filter, Letter, Matching, Moved, Span, Standing
from agent.outbox.lock import Locked
from agent.outbox.mailbox import Mailbox
from agent.outbox.outbox import Outbox
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
