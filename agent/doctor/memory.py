"""Memory and descriptors: of this machine, of the control group, of the running agent."""

import os
import resource
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from agent.doctor.finding import Finding, Verdict
from agent.doctor.patient import Patient
from agent.doctor.processes import descriptors, rss_bytes
from agent.status.words import size

SUBJECT = "memory"
_NEEDED_BYTES = 128 * 1024 * 1024
"""What an agent takes with 100,000 events waiting."""
_DESCRIPTORS_NEEDED = 256
_MEMINFO = Path("/proc/meminfo")
_CGROUPS = Path("/sys/fs/cgroup")
_finding = partial(Finding, SUBJECT)


@dataclass(frozen=True, slots=True)
class Facts:
    """What was measured."""

    total_bytes: int
    available_bytes: int
    group_limit_bytes: int | None
    """Of the control group of the running agent, else of this process; None: there is none."""
    rss_bytes: int | None
    """Of the running agent."""
    descriptors: tuple[int, int] | None
    """Of the running agent: open, and allowed."""
    descriptors_allowed: int
    """Of this process."""


async def examine(patient: Patient) -> list[Finding]:
    """Memory."""
    return judge(_measure(patient.agent.pid if patient.agent else None))


def _measure(agent: int | None) -> Facts:
    words = meminfo(_MEMINFO.read_text(encoding="ascii"))
    return Facts(
        total_bytes=words["MemTotal"],
        available_bytes=words["MemAvailable"],
        group_limit_bytes=_group_limit(agent or os.getpid()),
        rss_bytes=rss_bytes(agent) if agent else None,
        descriptors=descriptors(agent) if agent else None,
        descriptors_allowed=resource.getrlimit(resource.RLIMIT_NOFILE)[0],
    )


def meminfo(text: str) -> dict[str, int]:
    """Bytes of each line, see proc_meminfo(5)."""
    lines = (line.split() for line in text.splitlines())
    return {words[0].rstrip(":"): int(words[1]) * 1024 for words in lines if len(words) > 1}


def _group_limit(pid: int) -> int | None:
    """The smallest limit on the way up, see cgroups(7), version 2."""
    try:
        own = Path(f"/proc/{pid}/cgroup").read_text(encoding="utf-8").partition("0::/")[2].strip()
        places = [_CGROUPS / own, *(_CGROUPS / own).parents]
        texts = [(place / "memory.max") for place in places if (place / "memory.max").is_file()]
        limits = [
            int(text) for text in (file.read_text(encoding="ascii").strip() for file in texts) if text.isdecimal()
        ]
    except OSError:
        return None
    return min(limits, default=None)


def judge(it: Facts) -> list[Finding]:
    """All that is told of memory."""
    return [_available(it), *_group(it), *_agent(it), _descriptors(it)]


def _available(it: Facts) -> Finding:
    seen = f"{size(it.available_bytes)} of {size(it.total_bytes)} are available"
    needed = _NEEDED_BYTES - (it.rss_bytes or 0)
    if it.available_bytes < needed:
        advice = f"an agent with a full outbox takes {size(_NEEDED_BYTES)}: what else runs here? (ps aux --sort=-rss)"
        return _finding("available", Verdict.WARN, seen, advice)
    return _finding("available", Verdict.OK, seen)


def _group(it: Facts) -> Iterable[Finding]:
    limit = it.group_limit_bytes
    if limit is not None:
        few = limit < _NEEDED_BYTES
        advice = f"raise MemoryMax (or the container's limit) to {size(_NEEDED_BYTES)}" if few else ""
        seen = f"the control group may take {size(limit)}"
        yield _finding("limit", Verdict.WARN if few else Verdict.OK, seen, advice)


def _agent(it: Facts) -> Iterable[Finding]:
    if it.rss_bytes is not None:
        much = it.rss_bytes > 2 * _NEEDED_BYTES
        advice = (
            "how many sensors has it (bellcrank sensors)? a restart helps for now; please report it" if much else ""
        )
        yield _finding("agent", Verdict.WARN if much else Verdict.OK, f"it takes {size(it.rss_bytes)}", advice)


def _descriptors(it: Facts) -> Finding:
    is_open, allowed = it.descriptors or (0, it.descriptors_allowed)
    seen = f"{is_open} of {allowed} are open by the agent" if it.descriptors else f"{allowed} are allowed"
    if allowed - is_open < _DESCRIPTORS_NEEDED // 2 or allowed < _DESCRIPTORS_NEEDED:
        return _finding("descriptors", Verdict.WARN, seen, "raise LimitNOFILE= (ulimit -n) to 1024")
    return _finding("descriptors", Verdict.OK, seen)
