"""One-time login links and the sessions that they open, without I/O: time and chance are passed in.

Both are kept in memory only, and only their digests: who reads the memory of the agent, or a dump of it, can log in
with neither. A restart ends them all.
"""

import secrets
from collections.abc import Callable
from hashlib import sha256
from typing import NamedTuple

LINK_S = 600.0
"""How long a login link can be used."""
LINKS_MAX = 5
"""Open at once; a further one ends the oldest."""
SESSION_S = 7 * 86400.0
"""How long a session lasts at most."""
IDLE_S = 86400.0
"""How long it lasts while nobody asks."""
SESSIONS_MAX = 32
"""Open at once; a further one ends the one that has been idle longest."""
_LINK_BYTES, _SESSION_BYTES = 16, 32

Chance = Callable[[int], bytes]
"""Random bytes, so many."""


class Links:
    """The login links that are open."""

    def __init__(self, chance: Chance = secrets.token_bytes) -> None:
        self._chance = chance
        self._until: dict[str, float] = {}
        """By the digest of the code, the oldest first."""

    def new(self, now: float) -> str:
        """Make a code of 128 bits, for a URL."""
        self._forget_old(now)
        if len(self._until) >= LINKS_MAX:
            del self._until[next(iter(self._until))]
        code = self._chance(_LINK_BYTES).hex()
        self._until[_digest(code)] = now + LINK_S
        return code

    def use(self, code: str, now: float) -> bool:
        """Whether a code opens a session; it does so once."""
        self._forget_old(now)
        return self._until.pop(_digest(code), None) is not None

    def clear(self) -> None:
        """End all."""
        self._until.clear()

    def _forget_old(self, now: float) -> None:
        self._until = {digest: until for digest, until in self._until.items() if now < until}


class _Session(NamedTuple):
    until: float
    idle_until: float


class Sessions:
    """The sessions that are open."""

    def __init__(self, chance: Chance = secrets.token_bytes) -> None:
        self._chance = chance
        self._open: dict[str, _Session] = {}
        """By the digest of the id, the one that has been idle longest first."""

    def begin(self, now: float) -> str:
        """Open one. Returns its id of 256 bits, for a cookie."""
        self._forget_old(now)
        if len(self._open) >= SESSIONS_MAX:
            del self._open[next(iter(self._open))]
        session_id = self._chance(_SESSION_BYTES).hex()
        self._open[_digest(session_id)] = _Session(now + SESSION_S, now + IDLE_S)
        return session_id

    def is_open(self, session_id: str, now: float) -> bool:
        """Whether it is open; then it is idle no more."""
        digest = _digest(session_id)
        session = self._open.pop(digest, None)
        if session is None or now >= min(session):
            return False
        self._open[digest] = _Session(session.until, now + IDLE_S)
        return True

    def lasts(self, session_id: str, now: float) -> bool:
        """Whether it is open still; to ask so leaves it as idle as it was."""
        session = self._open.get(_digest(session_id))
        return session is not None and now < min(session)

    def end(self, session_id: str) -> None:
        """Log out."""
        self._open.pop(_digest(session_id), None)

    def clear(self) -> None:
        """End all."""
        self._open.clear()

    def _forget_old(self, now: float) -> None:
        self._open = {digest: session for digest, session in self._open.items() if now < min(session)}


def _digest(secret: str) -> str:
    """Of 128 random bits and more, which nobody guesses: it needs no salt and no slowness."""
    return sha256(secret.encode(errors="surrogatepass")).hexdigest()
