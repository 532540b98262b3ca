"""A request as it goes over the wire (HTTP/1.1, RFC 9112). What is the same in each one of a webhook is written once.

No I/O.
"""

import base64
import re
from collections.abc import Mapping
from typing import NamedTuple

from multidict import CIMultiDict
from yarl import URL

from agent.webhooks.config import Webhook
from agent.webhooks.headers import usual

_BREAKS = re.compile(r"[\r\n\0]")
_ENCODED = re.compile(r"[!#$%&'()*+,./:;=?@\[\]_~0-9A-Za-z-]*")
"""All that may stand in a URL (RFC 3986, 2)."""


class Route(NamedTuple):
    """Where to."""

    url: URL
    """Of the receiver."""
    proxy: URL | None
    """To go through; it may hold a password."""

    @property
    def by_tunnel(self) -> bool:
        """Whether the proxy sees nothing but bytes."""
        return self.proxy is not None and self.url.scheme == "https"

    @property
    def through(self) -> URL:
        """Whom to connect to."""
        return self.proxy or self.url


class RequestWriter:
    """Writes the requests of one webhook."""

    def __init__(self, webhook: Webhook, route: Route) -> None:
        self._method = webhook.method
        self._route = route
        self._usual = CIMultiDict({"Host": route.url.host_port_subcomponent or "", "Accept": "*/*"})
        self._usual["Accept-Encoding"] = "identity"  # of failures people are shown how the answer begins
        if route.proxy is not None and not route.by_tunnel:
            self._usual.update(proxy_authorization(route.proxy))
        self._usual.update(usual(webhook.header_texts()))
        self._begin = self._line("") + _lines(self._usual)

    def __call__(self, body: bytes, headers: Mapping[str, str], suffix: str = "") -> bytes:
        """A request with further headers, which go before the usual ones. `suffix` goes behind the path.

        Raises ValueError for a header that would end before its end.
        """
        begin = self._begin
        if suffix or any(name in self._usual for name in headers):
            given = CIMultiDict(headers)
            begin = self._line(suffix) + _lines({n: text for n, text in self._usual.items() if n not in given})
        head = f"{begin}{_lines(headers)}Content-Length: {len(body)}\r\n\r\n"
        return head.encode("utf-8", "surrogateescape") + body

    def _line(self, suffix: str) -> str:
        url = self._route.url
        if suffix:
            url = url.with_path(url.raw_path.rstrip("/") + suffix, encoded=True, keep_query=True)
        is_whole = self._route.proxy is not None and not self._route.by_tunnel
        begin = f"{url.scheme}://{url.host_port_subcomponent}" if is_whole else ""
        return f"{self._method} {begin}{url.raw_path_qs} HTTP/1.1\r\n"


def as_given(url: str) -> URL:
    """A URL of the configuration: encoded where that is needed, else byte for byte as it was given.

    Some services sign theirs. Raises ValueError.
    """
    return URL(url, encoded=_ENCODED.fullmatch(url) is not None)


def connect(route: Route) -> bytes:
    """What asks the proxy for a tunnel."""
    where = f"{route.url.host_subcomponent}:{route.url.port}"
    headers = {"Host": where, **proxy_authorization(route.through)}
    return f"CONNECT {where} HTTP/1.1\r\n{_lines(headers)}\r\n".encode()


def proxy_authorization(proxy: URL) -> dict[str, str]:
    """The header with user and password of a proxy's URL, if it has them."""
    if proxy.user is None:
        return {}
    token = base64.b64encode(f"{proxy.user}:{proxy.password or ''}".encode()).decode()
    return {"Proxy-Authorization": f"Basic {token}"}


def _lines(headers: Mapping[str, str]) -> str:
    lines = [f"{name}: {text}" for name, text in headers.items()]
    if any(map(_BREAKS.search, lines)):
        raise ValueError("a header with a line break in it")
    return "\r\n".join([*lines, ""])
