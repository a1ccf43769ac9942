"""``gpubench-server gateway``: a process without privileges between other machines and the server.

The parent listens and forks a child for each connection. The child ends TLS, has the client's token checked,
checks every line, and relays what is right to the server's Unix socket. Hostile bytes meet a process that
owns no device, no store and no other connection.
"""

from gpubench_server.gateway.cli import command_parser, run

__all__ = ["command_parser", "run"]
