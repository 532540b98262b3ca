"""Events whose time is not sure: kept until their first attempt, so that they can be written anew by a right clock.

The body that was written when an event became owed stays what is sent, unless the clock became better meanwhile.
"""

import json
from dataclasses import fields, replace

from agent.clock import plausible
from agent.model import Event, Moment

WAIT_S = 60.0
"""So long a first attempt waits while the year cannot be; a pulse never."""
KEPT_CHARS_MAX = 65_536
"""A longer event is sent as it was written."""
_FIELDS = [field.name for field in fields(Event)]


def waits(event: Event, moment: Moment) -> bool:
    """Whether the first attempt is worth waiting for a right clock."""
    is_pulse = event.rule is not None and event.state is None
    return not event.synced and not is_pulse and not plausible(moment.wall)


def dump(event: Event) -> str | None:
    """An event as JSON; None: it is too long to be kept. Raises ValueError, TypeError."""
    payload = event.payload if event.has_payload else None
    text = json.dumps({name: getattr(event, name) for name in _FIELDS} | {"payload": payload}, default=dict)
    return text if len(text) <= KEPT_CHARS_MAX else None


def load(text: str) -> Event:
    """Read what `dump` wrote. Raises ValueError, TypeError."""
    members = json.loads(text)
    return Event(**members | {"send_to": tuple(members["send_to"])})


def timed(event: Event, moment: Moment) -> Event | None:
    """The same event of this boot with its time told by the clock as it is now; None: that is no better."""
    if not moment.synced and (plausible(event.wall) or not plausible(moment.wall)):
        return None
    wall = moment.wall_of(event.at)
    return replace(
        event,
        wall=wall,
        synced=moment.synced,
        corrected=moment.synced,
        started_wall=event.started_wall if event.started_at is None else moment.wall_of(event.started_at),
        ended_wall=None if event.ended_wall is None else wall,
    )
