"""The HTTP port: metrics, health and the page."""

from gpubench_server.web.application import make_application
from gpubench_server.web.http_server import WebServer

__all__ = ["WebServer", "make_application"]
