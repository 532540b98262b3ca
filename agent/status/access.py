"""Who may see the status page, and who may change something: decided from what a request says, without I/O.

Three things keep others out. The Host header has to name this agent: a name that an attacker points at it (DNS
rebinding) does not. The token, or the session of a login, shows who asks. And what changes something has to come from
a page of the agent itself: browsers tell by `Origin` and `Sec-Fetch-Site` (Fetch Metadata, W3C) where a request
comes from, and no page can make them lie.
"""

import re
from collections.abc import Callable, Iterable
from hmac import compare_digest
from typing import Final, NamedTuple

from aiohttp import web

from drivers.urls import Authority, parse_authority, shortest_address

READING: Final = frozenset({"GET", "HEAD"})
"""The methods that change nothing; every other one is a change."""
LOGIN: Final = "/login"
_OPEN: Final = frozenset({"/healthz", "/readyz", LOGIN})
_STATIC: Final = "/static/"
_ORIGIN = re.compile(r"https?://([^/?#@\s]+)")


class Policy(NamedTuple):
    """What the configuration says."""

    token: str | None
    """None: whoever reaches the server may read."""
    own: frozenset[str]
    """The names of the agent."""
    others: frozenset[Authority]
    """`status.hosts`: further ones, such as that of a proxy. A page of theirs may change something too."""


class Asked(NamedTuple):
    """What a request says of itself. Headers that were not sent are None."""

    method: str
    path: str
    """Of the route, below the prefix."""
    host: str
    came_to: str
    """The address of this machine that the connection was made to."""
    origin: str | None = None
    fetch_site: str | None = None
    fetch_mode: str | None = None
    authorization: str | None = None
    has_session: bool = False
    """Whether its cookie is that of a session that is open."""
    takes_html: bool = False
    """Whether it is a browser that shows what it is answered."""


class Visitor(NamedTuple):
    """Whom a request comes from."""

    may_change: bool = False
    """Whether a change would be admitted, if it comes from a page of the agent."""
    logged_in: bool = False
    """Whether there is a session, which can be ended."""


VISITOR: Final = web.RequestKey("visitor", Visitor)


def visitor(request: web.BaseRequest) -> Visitor:
    """Whom a request that was admitted comes from; nobody who may do anything, where there is no guard."""
    found: Visitor = request.get(VISITOR, Visitor())
    return found


SESSION_LASTS: Final[web.RequestKey[Callable[[], bool]]] = web.RequestKey("session_lasts")
"""`() -> bool`, of a request that came with a session."""


def may_stay(request: web.BaseRequest) -> bool:
    """Whether an answer without an end may go on: not behind the end of the session that it was asked for with."""
    lasts: Callable[[], bool] | None = request.get(SESSION_LASTS)
    return lasts is None or lasts()


class Refused(NamedTuple):
    """The status of the answer, and a sentence."""

    status: int
    why: str


TO_LOGIN: Final = Refused(303, "log in first")
_NOT_OURS: Final = Refused(421, "this host name is not this agent's: see `status.hosts`")
_NO_TOKEN: Final = Refused(401, "a token is needed")
_FOREIGN: Final = Refused(403, "this came from a page of another host: see `status.hosts`")
_FROM_NOWHERE: Final = Refused(403, "a change has to come with the Origin of the page, or with the token")


def judge(asked: Asked, policy: Policy) -> Visitor | Refused:
    """Admit a request, with what its sender may do, or refuse it."""
    if not _is_ours(asked, policy):
        return _NOT_OURS
    with_token = _has_token(asked.authorization, policy.token)
    who = Visitor(may_change=with_token or asked.has_session, logged_in=asked.has_session)
    if asked.method in READING:
        return _judge_reading(asked, policy, who)
    if not who.may_change and asked.path != LOGIN:
        return TO_LOGIN if asked.takes_html else _NO_TOKEN
    if asked.origin is None and not with_token:
        return _FROM_NOWHERE
    return who if _is_from_own_page(asked, policy) else _FOREIGN


def _judge_reading(asked: Asked, policy: Policy, who: Visitor) -> Visitor | Refused:
    if asked.path in _OPEN or asked.path.startswith(_STATIC):
        return who
    if asked.fetch_site == "cross-site" and asked.fetch_mode != "navigate":
        return _FOREIGN  # a link of another page may lead here; it may not fetch from here
    if who.may_change or policy.token is None:
        return who
    return TO_LOGIN if asked.takes_html else _NO_TOKEN


def further(hosts: Iterable[str]) -> frozenset[Authority]:
    """`status.hosts`, as a policy has them."""
    return frozenset(filter(None, map(parse_authority, hosts)))


def own_names(listen: str, hostname: str) -> frozenset[str]:
    """The names of an agent that listens at this address of a machine of this name."""
    hostname = hostname.lower().rstrip(".")
    return frozenset({"localhost", "127.0.0.1", "::1", listen, hostname, f"{hostname.partition('.')[0]}.local"})


def is_token(given: str, token: str | None) -> bool:
    """Whether it is the token; takes as long whichever character is wrong."""
    return token is not None and compare_digest(given.encode(errors="surrogatepass"), token.encode())


def _has_token(authorization: str | None, token: str | None) -> bool:
    kind, _, given = (authorization or "").partition(" ")
    return kind.lower() == "bearer" and is_token(given.strip(), token)


def _is_ours(asked: Asked, policy: Policy) -> bool:
    named = parse_authority(asked.host)
    if named is None:
        return False
    own = policy.own | {other.host for other in policy.others}
    return named.host in own or named.host == shortest_address(asked.came_to.partition("%")[0])


def _is_from_own_page(asked: Asked, policy: Policy) -> bool:
    if asked.fetch_site in ("cross-site", "same-site"):
        return False
    if asked.origin is None:
        return True
    found = _ORIGIN.fullmatch(asked.origin)  # `null` is that of a page that hides where it is from
    origin = parse_authority(found[1]) if found else None
    return origin is not None and (origin == parse_authority(asked.host) or origin in policy.others)
