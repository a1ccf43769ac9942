"""An endpoint of aiohttp that takes JSON and answers with JSON: as many services in Python do.

    python bench/aiohttp_server.py FOLDER

Over TCP, TLS (``FOLDER/cert.pem`` and ``key.pem``) and a Unix socket. Prints the addresses as JSON, and
ends with its standard input. Runs in an environment of its own: nothing of gpubench is imported here.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
from pathlib import Path

from aiohttp import web


async def ping(request: web.Request) -> web.Response:
    asked = await request.json()
    return web.json_response({"id": asked["id"], "jsonrpc": "2.0", "result": {"pong": True}})


async def serve(folder: Path) -> None:
    application = web.Application()
    application.router.add_post("/", ping)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    for encryption in (None, context):
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=encryption, backlog=1024).start()
    await web.UnixSite(runner, folder / "aiohttp.sock", backlog=1024).start()
    (_, tcp), (_, tls) = (address for address in runner.addresses if not isinstance(address, str))
    addresses = {"tcp": f"tcp://127.0.0.1:{tcp}", "tls": f"tls://127.0.0.1:{tls}"}
    print(json.dumps({**addresses, "unix": f"unix://{folder}/aiohttp.sock"}), flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1])))
