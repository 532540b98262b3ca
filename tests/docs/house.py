"""The diagram of docs/architecture.md, drawn from the imports: `python -m tests.docs.house` writes it there anew."""

import re
from collections.abc import Iterable, Mapping
from functools import cache

from tests.docs.pages import ROOT
from tests.test_layers import AGENT, DRIVERS, FLOORS, imports, room

PAGE = ROOT / "docs" / "architecture.md"
ROOMS: dict[str, tuple[str, list[str]]] = {
    "drivers": ("drivers/<br>mqtt, serial, http, simulated: yield messages", ["drivers"]),
    "model": ("model, clock, templates, notices<br>the types that flow; the only caller of time", [
        "agent.version", "agent.service", "agent.model", "agent.clock", "agent.systemd", "agent.tasks",
        "agent.templates", "agent.network", "agent.notices",
    ]),
    "rules": ("rules/<br>pure: a reading and a memory make events", ["agent.rules"]),
    "webhooks": ("webhooks/<br>pure: bodies, retry decisions, breaker", ["agent.webhooks"]),
    "outbox": ("outbox/<br>SQLite: memory, events, what is owed", ["agent.outbox"]),
    "config": ("config/<br>YAML to typed values, errors with their place", [
        "agent.yamlhints", "agent.yamlfile", "agent.secretfiles", "agent.config",
    ]),
    "pipeline": ("pipeline<br>all feeds, rules, one commit, acknowledge", [
        "agent.pipeline", "agent.round", "agent.counts",
    ]),
    "couriers": ("webhooks/courier, heartbeat<br>send what is owed", [
        "agent.webhooks.connections", "agent.webhooks.transport", "agent.webhooks.trial",
        "agent.webhooks.courier", "agent.webhooks.heartbeat",
    ]),
    "status": ("status/<br>page, API, metrics, control socket", ["agent.status"]),
    "parts": ("supervise, parts, observe, reload<br>feeds and couriers that come and go", [
        "agent.supervise", "agent.parts", "agent.observe", "agent.reload", "agent.control_socket",
    ]),
    "app": ("app<br>puts the parts together, ends them in order", ["agent.app"]),
}  # fmt: skip
"""What is drawn as one: its words, and the entries of FLOORS in it. All that is above `app` is the people's side."""
PEOPLE = "people"
PEOPLE_WORDS = "cli/ and its helpers<br>commands, demo, doctor, discovery, installer"
"""What is above `app`."""

Arrows = set[tuple[str, str]]


def entries_apart() -> set[str]:
    """Those of FLOORS below `app` that no room has."""
    top = next(i for i, floor in enumerate(FLOORS) if "agent.app" in floor)
    drawn = {entry for _, entries in ROOMS.values() for entry in entries}
    return {entry for floor in FLOORS[: top + 1] for entry in floor} - drawn


def room_of(module: str) -> str | None:
    """Where a module is drawn; None for those that are none of ours."""
    if module == "drivers" or module.startswith("drivers."):
        return "drivers"
    entry = room(module)
    if entry is None:
        return None
    return next((name for name, (_, entries) in ROOMS.items() if entry in entries), PEOPLE)


@cache
def imported() -> Arrows:
    """Who imports whom, each room of the diagram taken as one."""
    found = set()
    for module, path in {**AGENT, **DRIVERS}.items():
        here = room_of(module)
        for name in imports(path):
            there = room_of(name)
            if here and there and here != there:
                found.add((here, there))
    return found


def needed(arrows: Arrows) -> Arrows:
    """Without those that others imply: where a room imports one that imports the same."""
    below = {room: {there for here, there in arrows if here == room} for room in {here for here, _ in arrows}}
    return {(here, there) for here, there in arrows if not _reached(below, below[here] - {there}, there)}


def _reached(below: Mapping[str, set[str]], start: Iterable[str], goal: str) -> bool:
    seen, left = set[str](), list(start)
    while left:
        here = left.pop()
        if here == goal:
            return True
        if here not in seen:
            seen.add(here)
            left += below.get(here, ())
    return False


def diagram() -> str:
    """The whole, as Mermaid."""
    words = {**{name: text for name, (text, _) in ROOMS.items()}, PEOPLE: PEOPLE_WORDS}
    nodes = [f'    {name}["{text}"]' for name, text in words.items()]
    arrows = [f"    {here} --> {there}" for here, there in sorted(needed(imported()))]
    return "\n".join(["flowchart TD", *nodes, *arrows]) + "\n"


def main() -> None:
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(re.sub(r"(```mermaid\n).*?(```)", lambda m: m[1] + diagram() + m[2], text, flags=re.DOTALL))


if __name__ == "__main__":
    main()
