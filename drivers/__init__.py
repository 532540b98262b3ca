"""The ground: how input reaches the agent, and nothing of what the agent does with it.

Read in this order:

* `base` has the words (Reading, Message, Driver, Clock);
* `units` and `urls` read durations, sizes and addresses as people write them; `settings` is what each model of the
  configuration begins with;
* `paths` and `patterns` say what the configuration can ask of a message: its format, paths, regular expressions;
* `framing` turns bytes into lines, `formats` payloads into documents, `values` what was found there into a
  sensor's value; `decoding` puts them together: all without I/O;
* `mqtt`, `serial`, `http` and `simulated` are the drivers, found by name through `registry`;
* under `mqtt` lie its configuration (with `tls`), `topics`, the routing and how sources stand (both without
  I/O), and the one connection; `ports` opens what `serial` reads; `http_gate` says who may speak to `http`, on
  the `http_server`, and `signing` whose signature is right.

Nothing here imports anything of `agent`.
"""
