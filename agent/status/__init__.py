"""What there is to see, and to do, while the agent runs.

`snapshot` is what is shown, `api` the JSON of it and the commands; `server` is the local status page, `control` the
unix socket for the command line.
"""
