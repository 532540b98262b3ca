"""Deliveries, and how each went, as JSON: the same from a running agent and from an outbox that is idle."""

from collections.abc import Sequence
from typing import Any

from agent.model import Attempt, Counters
from agent.outbox import Letter, Standing
from agent.templates import rfc3339


def letter_json(letter: Letter, now: float) -> dict[str, Any]:
    """A delivery. `now` is on the agent's time line."""
    waits = letter.state == "pending"
    return {
        "number": letter.number,
        "id": letter.id,
        "webhook": letter.webhook,
        "type": letter.type,
        "rule": letter.rule,
        "sensor": letter.sensor,
        "state": letter.state,
        "sequence": letter.sequence,
        "attempts": letter.attempts + (letter.state == "delivered"),  # the one that succeeded used none up
        "time": rfc3339(letter.wall),
        "clock": "synced" if letter.synced else "unsynced",
        "age_s": max(0.0, now - letter.created_at),
        "next_attempt_s": max(0.0, letter.due_at - now) if waits else None,
        "expires_s": max(0.0, letter.expires_at - now) if waits else None,
        "settled_s": None if letter.settled_at is None else max(0.0, now - letter.settled_at),
        **({} if letter.body is None else {"body": _text(letter.body)}),
    }


def whole_json(letter: Letter, now: float) -> dict[str, Any]:
    """The same with its log, and whether the alert that it tells of is over."""
    log = [_attempt_json(attempt, now) for attempt in letter.log]
    return {**letter_json(letter, now), "resolved": letter.resolved, "log": log}


def page_json(letters: Sequence[Letter], limit: int, now: float) -> dict[str, Any]:
    """A page of deliveries, and the number behind which the next one begins, where there may be one."""
    following = letters[-1].number if letters and len(letters) == limit else None
    return {"events": [letter_json(letter, now) for letter in letters], "next": following}


def standing_json(standing: Standing, counters: Counters, now: float, *, known: bool) -> dict[str, Any]:
    """A webhook while no agent runs, as the status tells of it; `known`: whether the configuration has it."""
    resting_s = None if standing.resting_until is None else max(0.0, standing.resting_until - now)
    states = {"removed": not known, "disabled": standing.disabled, "resting": resting_s is not None}
    waits = standing.next_due_at is not None and known and not standing.disabled
    return {
        "state": next((state for state, true in states.items() if true), "idle"),
        "owed": counters.owed,
        "delivered": counters.delivered,
        "pending": counters.pending,
        "dead": counters.dead,
        "dropped": counters.dropped,
        "dropped_by": counters.dropped_by,
        "resting_s": resting_s,
        "next_attempt_s": max(0.0, (standing.next_due_at or 0.0) - now, resting_s or 0.0) if waits else None,
        "last_error": standing.last_error,
    }


def _attempt_json(attempt: Attempt, now: float) -> dict[str, Any]:
    return {
        "time": rfc3339(attempt.wall),
        "ago_s": max(0.0, now - attempt.at),
        "duration_ms": round(attempt.duration_s * 1000, 1),
        "status": attempt.status,
        "error": attempt.error,
        "answer": _text(attempt.answer),
    }


def _text(content: bytes) -> str:
    return content.decode("utf-8", errors="backslashreplace")
