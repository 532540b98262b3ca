"""Which proxy a webhook goes through, as the environment says: HTTPS_PROXY, HTTP_PROXY, NO_PROXY.

A proxy looks up names itself, so behind one only addresses that stand in the URL can be judged; what http:// may
reach is not known, and has to be allowed. The proxy's own name is looked up here, and guarded as any other.
"""

from typing import NamedTuple
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from agent.webhooks.config import literal_address


class Proxy(NamedTuple):
    """`url` may hold a password: only `name` is for people."""

    url: str
    name: str


def proxy_for(url: str) -> Proxy | None:
    """The proxy for a URL; None: straight on, as always to this machine itself.

    Raises ValueError where the environment names something that is none.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    given = getproxies().get(parts.scheme)
    if not given or _is_this_machine(host) or proxy_bypass(host):
        return None
    proxy = urlsplit(given if "://" in given else f"http://{given}")
    if proxy.scheme not in ("http", "https") or not proxy.hostname:
        raise ValueError(f"{parts.scheme.upper()}_PROXY has to be http://host:port")
    return Proxy(proxy.geturl(), f"{proxy.hostname}:{proxy.port or (443 if proxy.scheme == 'https' else 80)}")


def _is_this_machine(host: str) -> bool:
    address = literal_address(host)
    return host == "localhost" or (address is not None and address.is_loopback)
