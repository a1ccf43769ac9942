"""The HTTP port: metrics, health, the page, and a JSON API."""

from gpubench_server.web.admission import Admission
from gpubench_server.web.application import make_application
from gpubench_server.web.http_server import WebServer
from gpubench_server.web.source import Source

__all__ = ["Admission", "Source", "WebServer", "make_application"]
