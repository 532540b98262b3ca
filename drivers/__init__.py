"""The ground: how input reaches the agent, and nothing of what the agent does with it.

Read in this order:

* `base` has the words (Reading, Message, Driver, Clock);
* `units` reads durations and sizes as people write them;
* `framing` turns bytes into lines, `decoding` turns payloads into values: both without I/O;
* `mqtt` and `serial` are the drivers, found by name through `registry`;
* under `mqtt` lie its configuration (with `tls`), `topics`, the routing and how sources stand (both without
  I/O), and the one connection.

Nothing here imports anything of `agent`.
"""
