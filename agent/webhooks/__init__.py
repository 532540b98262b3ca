"""Webhooks: what is told, and how it gets there.

Pure: `config`, `envelope` (an event as bytes), `retry` (what an outcome means), `breaker` (whether the
receiver answers); `drivers.signing` has the signatures of both directions. With I/O: `transport` (one POST)
and `courier` (the task that delivers for one webhook).
"""
