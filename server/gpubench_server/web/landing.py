"""The landing page."""

from __future__ import annotations

import html

import gpubench
from gpubench_server.metrics import ServiceSnapshot


def landing_page(snapshot: ServiceSnapshot, reason: str | None, tcp_url: str) -> str:
    rows = "".join(
        f"<tr><td><code>{html.escape(device.id)}</code><td>{html.escape(device.name)}"
        f"<td>{html.escape(device.driver_name)}"
        f"<td>{html.escape(device.unavailable or 'ready')}"
        for device in snapshot.devices
    )
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><title>gpubench</title>"
        '<meta name=viewport content="width=device-width"><meta name=color-scheme content="light dark">'
        f"<h1>gpubench {html.escape(gpubench.__version__)}</h1>"
        f"<p>State: {html.escape(reason or 'ready for runs')}. Benchmarks are requested at "
        f"<code>{html.escape(tcp_url)}</code>, not on this port.</p>"
        f"<table><tr><th>device<th>name<th>driver<th>state{rows}</table>"
        "<p><a href=/metrics>/metrics</a>, <a href=/healthz>/healthz</a>, <a href=/readyz>/readyz</a></p>"
    )
