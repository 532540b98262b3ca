"""Webhooks: what is told, and how it gets there.

Pure: `config`; what is sent: `writer` chooses among `envelope` (the standard body), `bodies` (one of the
configuration) and `presets/` (those of well-known services), and adds `headers`; `retry` (what an outcome means),
`breaker` (whether the receiver answers), `proxies` (which way the environment asks for), `request` and `answers` (the
bytes of both directions). `agent.templates` has the texts with placeholders, `drivers.signing` the signatures of both
directions. With I/O: `connections` (to one receiver), `transport` (one attempt) and `courier` (the task that delivers
for one webhook).
"""
