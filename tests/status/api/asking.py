"""Asking a real agent over TCP."""

import json
import urllib.error
import urllib.request
from typing import Any

from tests.support.agent import AgentProcess

TOKEN = "tok_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
SENSORS = 25


def ask(agent: AgentProcess, method: str, target: str, body: Any = None, **headers: str) -> tuple[int, Any, Any]:
    """Status, body and headers of the answer."""
    url = f"http://127.0.0.1:{agent.port}{target}"
    sent = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json", **headers}
    written = None if body is None else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(url, written, sent, method=method), timeout=10) as answer:
            return answer.status, json.load(answer), answer.headers
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error), error.headers
