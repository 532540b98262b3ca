"""From facts to what the templates show: words, links, order, and which symbol a state has. Pure.

`frame` is what all share; `overview`, `sensor` and `events` are the pages.
"""
