"""A bare echo of lines with ``socketserver``: what a server with a thread for each connection costs at least.

    python bench/echo_server.py FOLDER

Over TCP, TLS (``FOLDER/cert.pem`` and ``key.pem``) and a Unix socket. Prints the addresses as JSON, and
ends with its standard input.
"""

from __future__ import annotations

import json
import socket
import socketserver
import ssl
import sys
import threading
from pathlib import Path
from typing import Any


class Echo(socketserver.StreamRequestHandler):
    def setup(self) -> None:
        if isinstance(self.request, ssl.SSLSocket):
            self.request.do_handshake()
        if self.request.family != socket.AF_UNIX:
            self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().setup()

    def handle(self) -> None:
        for line in self.rfile:
            self.wfile.write(line)


class EchoServer(socketserver.ThreadingTCPServer):
    request_queue_size = 128
    daemon_threads = True
    context: ssl.SSLContext | None = None

    def get_request(self) -> tuple[Any, Any]:
        connection, address = super().get_request()
        if self.context is not None:
            connection = self.context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        return connection, address


class UnixEchoServer(socketserver.ThreadingUnixStreamServer):
    request_queue_size = 128
    daemon_threads = True


def main() -> None:
    folder = Path(sys.argv[1])
    plain, encrypted = (EchoServer(("127.0.0.1", 0), Echo) for _ in range(2))
    encrypted.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    encrypted.context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    local = UnixEchoServer(str(folder / "echo.sock"), Echo)
    for server in (plain, encrypted, local):
        threading.Thread(target=server.serve_forever, daemon=True).start()
    port = {name: server.server_address[1] for name, server in (("tcp", plain), ("tls", encrypted))}
    addresses = {name: f"{name}://127.0.0.1:{number}" for name, number in port.items()}
    print(json.dumps({**addresses, "unix": f"unix://{folder}/echo.sock"}), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
