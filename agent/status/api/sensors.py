"""`/api/v1/sensors`: what each said, and forgetting one."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from agent.status.api.problems import Problem
from agent.status.api.route import FORBID_OTHERS, Call, Paged, Route
from agent.status.api.webhooks import Done
from agent.status.commands import Commands
from agent.status.history import History
from agent.status.snapshot import Eyes, SensorFacts, Window

PAGE_SENSORS = 500
_NUMBER_MAX = 2**63 - 1


@dataclass(frozen=True, slots=True)
class SensorQuery:
    """Which sensors, sorted by name."""

    __pydantic_config__ = FORBID_OTHERS

    query: str = ""
    """A part of the name, in any case."""
    offset: Annotated[int, Field(ge=0, le=_NUMBER_MAX)] = 0
    """So many are left out at the beginning."""
    limit: Annotated[int, Field(ge=1, le=PAGE_SENSORS)] = 100
    """At most so many."""

    def window(self) -> Window:
        """The same for a snapshot."""
        return Window(self.query, self.offset, self.limit)

    def following(self, total: int) -> int | None:
        """The offset of the next page; None: there is none."""
        end = self.offset + self.limit
        return end if end < total else None


@dataclass(frozen=True, slots=True)
class Sensors:
    """A page of sensors."""

    sensors: Mapping[str, SensorFacts]
    """By name."""
    total: int
    """How many there are on all pages."""
    next: int | None
    """The `offset` of the next page; null: this is the last one."""


@dataclass(frozen=True, slots=True)
class Sensor:
    """One sensor."""

    name: str
    latest: SensorFacts
    history: History | None
    """As far as memory keeps it; null: it has said nothing yet."""


def routes(eyes: Eyes, commands: Commands) -> list[Route]:
    """What is asked of sensors."""

    async def list_sensors(call: Call) -> Paged:
        wanted: SensorQuery = call.query
        shown = eyes.snapshot(wanted.window())
        total = shown.sensors_total
        return Paged(Sensors(shown.sensors, total, wanted.following(total)), "offset")

    async def show_sensor(call: Call) -> Sensor:
        name = call.path["name"]
        latest = eyes.snapshot(Window(exact=name)).sensors.get(name)
        if latest is None:
            raise _unknown(name)
        return Sensor(name, latest, eyes.history(name))

    async def forget_sensor(call: Call) -> Done:
        name = call.path["name"]
        if not await commands.forget(name):
            raise _unknown(name)
        return Done()

    return [
        Route("GET", "/api/v1/sensors", "What every sensor said last", "sensors", list_sensors, Sensors, SensorQuery),
        Route("GET", "/api/v1/sensors/{name}", "What a sensor said", "sensors", show_sensor, Sensor, errors=(404,)),
        Route(
            "DELETE",
            "/api/v1/sensors/{name}",
            "Forget all of a sensor; its alerts are resolved",
            "sensors",
            forget_sensor,
            Done,
            errors=(404,),
        ),
    ]


def _unknown(name: str) -> Problem:
    return Problem(404, f"nothing is known of a sensor {name}")
