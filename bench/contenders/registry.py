"""All contenders. To add one: a file beside this one, and a line here.

Not in `__init__`, so that a contender that is a module of this package loads no other.
"""

from bench.contenders.bare_chain import CHAIN, CHAIN_FAST
from bench.contenders.bellcrank import BELLCRANK, BELLCRANK_FAST
from bench.contenders.mqttwarn import MQTTWARN
from bench.contenders.node_red import NODE_RED
from bench.contenders.noop import NOOP
from bench.contenders.paho_requests import PAHO_REQUESTS

ALL = (BELLCRANK, BELLCRANK_FAST, CHAIN, CHAIN_FAST, PAHO_REQUESTS, MQTTWARN, NODE_RED, NOOP)
