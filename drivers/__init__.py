"""The ground: how input reaches the agent, and nothing of what the agent does with it.

Read in this order:

* `base` has the words (Reading, Message, Driver, Clock);
* `units` reads durations and sizes as people write them;
* `framing` turns bytes into lines, `decoding` turns payloads into values: both without I/O;
* `signing` signs and verifies webhooks, `buckets` says how many may come: without I/O too;
* `mqtt`, `serial`, `http` and `simulated` are the drivers, found by name through `registry`; `ports` opens what
  `serial` reads, `http_gate` says who may speak to `http`, on the `http_server`.

Nothing here imports anything of `agent`.
"""
