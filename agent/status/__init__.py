"""What there is to see, and to do, while the agent runs.

`snapshot` is what is shown and `words` says it, `events` tells of deliveries; `api/` is the JSON of it and of the
`commands`; `metrics` shows it to Prometheus, as `exposition` writes it. `server` is the local status page, at the
address that `listener` has; in front of its routes stands the `guard`, which asks `access` who may, and `login` opens
sessions by `links` or the token. `control` is the unix socket for the command line. `front` puts all of it together.
"""
