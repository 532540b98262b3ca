"""What people send again and give up while the agent runs; `agent.outbox.idle` does it while none does.

To be called between commits, at most MOVED_ROWS at once, the oldest first. Durable when it returns.
"""

from agent.model import Moment
from agent.outbox.batch import gone_of, no_content
from agent.outbox.file import File
from agent.outbox.letters import Filter, Movable, Moved, Span, behind, movable
from agent.outbox.outbox import Outbox


async def replay(outbox: Outbox, moment: Moment, wanted: Filter, span: Span) -> Moved:
    """Send again what was delivered and is dead, to webhooks of the configuration.

    Raises BatchRefused, sqlite3.Error.
    """
    found = await _movable(outbox, moment, wanted, span)
    draft = outbox.draft(moment, no_content)
    draft.replay(old for old in found if old.webhook in outbox.expires_s)
    await outbox.commit(draft.batch())
    return Moved(len(draft.replays), behind(found))


async def discard(outbox: Outbox, moment: Moment, wanted: Filter, span: Span) -> Moved:
    """Give up what is pending or dead, as `replay` does; an attempt that is in flight is finished."""
    found = await _movable(outbox, moment, wanted, span)
    before = _discarded(outbox)
    batch = outbox.draft(moment, no_content).batch()
    batch.discarded = gone_of(found)
    await outbox.commit(batch)
    return Moved(_discarded(outbox) - before, behind(found))


async def _movable(outbox: Outbox, moment: Moment, wanted: Filter, span: Span) -> list[Movable]:
    """What matches, seen behind a commit of the marks that wait: what was just delivered is no more pending."""
    if outbox.marks:
        await outbox.commit(outbox.draft(moment, no_content).batch())

    def matching(file: File) -> list[Movable]:
        return movable(file.db, wanted, span)

    return await outbox.worker.ask(matching)


def _discarded(outbox: Outbox) -> int:
    return sum(counters.dropped_by["discarded"] for counters in outbox.counters.values())
