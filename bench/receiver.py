"""A receiver that only notes when which reading arrived: `python -m bench.receiver PORT`.

GET /count gives how many, GET /seen gives it all as JSON.
"""

import json
import sys
import time

from aiohttp import web

arrived: dict[tuple[str, float], float] = {}
"""Who sent it and when -> when it came, both in seconds of the monotonic clock, which all processes share."""


async def hook(request: web.Request) -> web.Response:
    body = json.loads(await request.read())
    sent = (body["subject"], body["data"]["value"]) if "data" in body else (body["from"], body["t"])
    arrived.setdefault(sent, time.monotonic())
    return web.Response()


async def seen(_: web.Request) -> web.Response:
    return web.json_response(sorted((sent, came) for (_, sent), came in arrived.items()))


async def count(_: web.Request) -> web.Response:
    return web.json_response(len(arrived))


async def forget(_: web.Request) -> web.Response:
    arrived.clear()
    return web.Response()


def main() -> None:
    app = web.Application()
    app.add_routes([web.post("/hook", hook), web.post("/forget", forget)])
    app.add_routes([web.get("/seen", seen), web.get("/count", count)])
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None, access_log=None)


if __name__ == "__main__":
    main()
