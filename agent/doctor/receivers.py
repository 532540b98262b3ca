"""Receivers of webhooks: reached, trusted, and with a test event what they answer."""

import asyncio
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from agent.config import Config
from agent.doctor.finding import Finding, Verdict
from agent.doctor.patient import Patient, without_config
from agent.doctor.reach import Reach, reach
from agent.doctor.reach import judge as judge_reach
from agent.status.snapshot import SKEW_SHOWN_S
from agent.status.words import age
from agent.webhooks import trial
from agent.webhooks.config import Webhook, literal_address
from agent.webhooks.proxies import BadProxy, proxy_for
from agent.webhooks.retry import Fate, Health, Outcome, why_failed
from agent.webhooks.retry import judge as judge_outcome
from agent.webhooks.writer import Writer
from drivers.tls import Tls

SUBJECT = "receivers"
_PORTS = {"http": 80, "https": 443}
_IF_REFUSED = "is the receiver started there? is a firewall between?"
_finding = partial(Finding, SUBJECT)


@dataclass(frozen=True, slots=True)
class Facts:
    """What was measured of one receiver. Its URL is not shown: a path may be a secret."""

    name: str
    unsigned: bool
    reach: Reach | None = None
    """None: it is behind a proxy."""
    proxy: str | None = None
    """Host and port of the proxy."""
    bad_proxy: str | None = None
    outcome: Outcome | None = None
    """Of the test event; None: none was sent."""
    agent: Mapping[str, Any] | None = None
    """What the running agent says of the webhook."""


async def examine(patient: Patient) -> list[Finding]:
    """All receivers, at the same time."""
    config = patient.config
    if config is None:
        return without_config(SUBJECT)
    if not config.webhooks:
        return [_finding("all", Verdict.WARN, "the configuration has no webhooks: nobody is told anything")]
    facts = await asyncio.gather(*(_measure(name, patient, config) for name in config.webhooks))
    wall = patient.clock.wall()
    found = [finding for one in facts for finding in judge(one, wall)]
    if not patient.send_test:
        found.append(_finding("test event", Verdict.SKIPPED, "none was sent: `--send-test` sends one to each webhook"))
    return found


async def _measure(name: str, patient: Patient, config: Config) -> Facts:
    webhook = config.webhooks[name]
    told = patient.agent.webhooks.get(name) if patient.agent else None
    parts, reached, proxy = urlsplit(webhook.url), None, None
    try:
        if through := proxy_for(webhook.url):
            at = urlsplit(through)  # it may hold a password
            proxy = f"{at.hostname}:{at.port or _PORTS[at.scheme]}"
    except BadProxy as error:
        return Facts(name, webhook.unsigned, bad_proxy=str(error), agent=told)
    if proxy is None:
        secured = (webhook.tls or Tls()) if parts.scheme == "https" else None
        port = parts.port or _PORTS[parts.scheme]
        reached = await reach(parts.hostname or "", port, secured, partial(_refuses, webhook))
    sends = patient.send_test and not (reached and reached.failed)
    outcome = await _test(name, webhook, config, patient) if sends else None
    return Facts(name, webhook.unsigned, reached, proxy, None, outcome, told)


def _refuses(webhook: Webhook, address: str) -> str | None:
    literal = literal_address(address.partition("%")[0])
    return webhook.refuses(literal) if literal else None


async def _test(name: str, webhook: Webhook, config: Config, patient: Patient) -> Outcome:
    write = Writer(config.agent.name, "", config.webhooks)
    return await trial.send(name, webhook, write, patient.clock, f"evt_{secrets.token_hex(13)}")


def judge(it: Facts, wall: float) -> list[Finding]:
    """`wall`: Unix seconds now."""
    found = judge_reach(SUBJECT, it.name, it.reach, wall, _IF_REFUSED) if it.reach else []
    if it.bad_proxy:
        found.append(_finding(f"{it.name}: proxy", Verdict.BAD, it.bad_proxy, "mend or unset the variable"))
    if it.proxy:
        seen = f"it is reached through the proxy {it.proxy}, so only a test event tells whether it can be"
        found.append(_finding(f"{it.name}: proxy", Verdict.OK, seen))
    if it.outcome is not None:
        found += [_answer(it, it.outcome), *_skew(it, it.outcome, wall)]
    return [*found, *_standing(it)]


def _answer(it: Facts, outcome: Outcome) -> Finding:
    verdict, meaning, advice = _meaning(outcome, unsigned=it.unsigned)
    took = f"in {outcome.duration_s * 1000:.0f} ms"
    said = f"HTTP {outcome.status}" if verdict is Verdict.OK else why_failed(outcome)
    return _finding(f"{it.name}: test event", verdict, f"{said} {took}: {meaning}", advice)


def _meaning(outcome: Outcome, *, unsigned: bool) -> tuple[Verdict, str, str]:
    """What an answer does to a delivery, in the words of the table in `agent.webhooks.retry`, and what to do."""
    fate, health = judge_outcome(outcome)
    if fate is Fate.DELIVERED:
        return Verdict.OK, f"it took the {'unsigned' if unsigned else 'signed'} event", ""
    if fate is Fate.UNANSWERED:
        return Verdict.BAD, "no answer: a delivery waits, and the webhook rests", "see the findings above"
    if fate is Fate.WAITS:
        advice = "`bellcrank webhooks enable` tries it again; is the URL still right?"
        return Verdict.BAD, "it wants no more: the webhook is disabled, its queue is kept", advice
    if fate is Fate.NEXT_FEW:
        advice = "it does not understand the event: is it made for this body (see `preset` and `body`)?"
        return Verdict.BAD, "a delivery is tried five times, then it is a dead letter", advice
    if outcome.status is not None and 300 <= outcome.status < 400:
        return Verdict.BAD, "a redirect is never followed, a delivery is tried again", "use the URL that it names"
    if health is Health.MISCONFIGURED:
        advice = "do `url`, `secrets` and `headers` agree with the receiver?"
        return Verdict.BAD, "a delivery is tried again until it expires, as somebody may mend it", advice
    if health is Health.RESTS:
        return Verdict.WARN, "it is busy or in maintenance: a delivery is tried again, the webhook rests", ""
    return Verdict.WARN, "it failed: a delivery is tried again", "its log says why"


def _skew(it: Facts, outcome: Outcome, wall: float) -> Iterable[Finding]:
    if outcome.date is None:
        return
    skew_s = wall - outcome.date
    name = f"{it.name}: clock"
    if abs(skew_s) <= SKEW_SHOWN_S:
        yield _finding(name, Verdict.OK, f"it agrees with that of this machine within {abs(skew_s):.0f} s")
        return
    advice = "receivers refuse signatures that are older than 5 minutes: set the clock that is wrong"
    side = "ahead of" if skew_s > 0 else "behind"
    yield _finding(name, Verdict.WARN, f"that of this machine is {age(abs(skew_s))} {side} it", advice)


def _standing(it: Facts) -> Iterable[Finding]:
    """How it stands with the running agent."""
    if it.agent is None:
        return
    told = it.agent
    seen = f"the agent calls it {told['state']}; {told['pending']} pending, {told['dead']} dead"
    seen += f", last error: {told['last_error']}" if told["last_error"] else ""
    bad = told["state"] in ("disabled", "misconfigured", "failing")
    verdict = Verdict.BAD if bad else Verdict.WARN if told["state"] == "resting" or told["dead"] else Verdict.OK
    advice = "`bellcrank events list --state dead` shows what was given up" if told["dead"] else ""
    yield _finding(f"{it.name}: deliveries", verdict, seen, advice)
