"""What there is to see, and to do, while the agent runs.

`snapshot` is what is shown and `words` says it; `metrics` shows it to Prometheus by `exposition`; `api` is the JSON of it and the commands; `server` is the local status
page, `control` the unix socket for the command line.
"""
