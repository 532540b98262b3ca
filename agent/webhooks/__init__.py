"""Webhooks: what is told, and how it gets there.

Pure: `config`, `envelope` (an event as bytes), `signing`, `retry` (what an outcome means), `breaker`
(whether the receiver answers). With I/O: `transport` (one POST) and `courier` (the task that delivers for
one webhook).
"""
