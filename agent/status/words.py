"""Durations and sizes as people say them."""


def age(seconds: float) -> str:
    """A duration for people, in the two largest units."""
    left, words = int(seconds), list[str]()
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        n, left = divmod(left, length)
        if n or (unit == "s" and not words):
            words.append(f"{n} {unit}")
    return " ".join(words[:2])


def size(n: int) -> str:
    """Bytes for people, in the largest unit of which there is one."""
    for unit, length in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if n >= length:
            return f"{n / length:.1f} {unit}"
    return f"{n} bytes"
