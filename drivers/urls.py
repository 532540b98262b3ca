"""URLs as people write them into the configuration."""

from urllib.parse import SplitResult, urlsplit


def split_url(url: str, otherwise: str) -> SplitResult:
    """Its parts, with a port that is one or None.

    Raises ValueError with the words of `otherwise` alone: urllib's own show parts of it, such as a password in the
    place of the port.
    """
    try:
        parts = urlsplit(url)
        _ = parts.hostname, parts.port
    except ValueError:
        raise ValueError(otherwise) from None
    return parts
