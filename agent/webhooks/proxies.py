"""Which proxy a webhook goes through, as the environment says: HTTPS_PROXY, HTTP_PROXY, NO_PROXY.

A proxy looks up names itself, so behind one only addresses that stand in the URL can be judged; what http:// may
reach is not known, and has to be allowed. The proxy's own name is looked up here, and guarded as any other.
"""

from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from agent.webhooks.config import literal_address


class BadProxy(ValueError):
    """The environment names something that is no proxy."""


def proxy_for(url: str) -> str | None:
    """The URL of the proxy for another one, which may hold a password; None: straight on, as always to this machine.

    Raises BadProxy.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    given = getproxies().get(parts.scheme)
    if not given or _is_this_machine(host) or proxy_bypass(host):
        return None
    proxy = urlsplit(given if "://" in given else f"http://{given}")
    if proxy.scheme not in ("http", "https") or not proxy.hostname:
        raise BadProxy(f"{parts.scheme.upper()}_PROXY has to be http://host:port")
    return proxy.geturl()


def _is_this_machine(host: str) -> bool:
    address = literal_address(host)
    return host == "localhost" or (address is not None and address.is_loopback)
