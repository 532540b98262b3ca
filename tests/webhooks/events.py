"""One event of each kind."""

from dataclasses import replace

from agent.model import Event

ALERT = Event(
    id="evt_1",
    type="sensor.alert.firing",
    subject="thermostat.temperature",
    at=1.0,
    wall=1767323045.678,
    synced=True,
    send_to=("ops",),
    rule="too_cold",
    state="firing",
    severity="critical",
    sensor="thermostat.temperature",
    value=4.2,
    unit="°C",
    condition={"below": 5},
    reason="condition",
    alert_id="alt_1",
    started_wall=1767323045.678,
    labels={"site": "cabin"},
    summary="too_cold: thermostat.temperature is 4.2 °C",
)
REPEATED = replace(
    ALERT, id="evt_2", type="sensor.alert.repeated", at=3601.0, wall=ALERT.wall + 3600, summary="too_cold: still"
)
RESOLVED = replace(
    ALERT,
    id="evt_3",
    type="sensor.alert.resolved",
    state="resolved",
    at=7201.0,
    wall=ALERT.wall + 7200,
    ended_wall=ALERT.wall + 7200,
    value=7.0,
    summary="too_cold: resolved, thermostat.temperature is 7.0 °C",
)
PULSE = replace(ALERT, type="sensor.event", state=None, reason=None, alert_id=None, started_wall=None)
LOST = Event(
    id="evt_5",
    type="source.lost",
    subject="source:doorbell",
    at=1.0,
    wall=ALERT.wall,
    synced=True,
    send_to=("ops",),
    state="firing",
    severity="warning",
    reason="lost",
    alert_id="alt_5",
    started_wall=ALERT.wall,
    summary="doorbell is lost",
)
RESTORED = replace(
    LOST, id="evt_6", type="source.restored", state="resolved", wall=ALERT.wall + 60, ended_wall=ALERT.wall + 60
)
STARTED = Event(
    id="evt_7", type="agent.started", subject="agent", at=1.0, wall=ALERT.wall, synced=False, send_to=("ops",)
)
EVENTS = {
    "firing": ALERT,
    "repeated": REPEATED,
    "resolved": RESOLVED,
    "pulse": PULSE,
    "lost": LOST,
    "restored": RESTORED,
    "started": STARTED,
}
