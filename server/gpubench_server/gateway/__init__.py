"""``gpubench-server gateway``: an unprivileged process between other machines and the server.

The parent listens and forks a child for each connection. The child terminates TLS, has the client's token
checked, checks every line, and relays valid ones to the server's Unix socket. So hostile input reaches only a
process that owns no device, no store and no other connection.
"""

from gpubench_server.gateway.check import CHECKS
from gpubench_server.gateway.cli import run
from gpubench_server.gateway.options import GATEWAY, command_parser

__all__ = ["CHECKS", "GATEWAY", "command_parser", "run"]
