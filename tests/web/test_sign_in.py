"""Who may see the page and the API of a server that asks for tokens, and how a browser signs in."""

from __future__ import annotations

import http.client
import json
import re
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from gpubench_server.principals import Quota, Role
from gpubench_server.tokens import add_token, revoke_token

from gpubench.atomic_files import write_file
from tests.running import PATIENCE_SECONDS, RunningServer, long, within
from tests.server.test_exposure import own_address
from tests.web.browsing import Answer, Browsing


@dataclass
class Guarded:
    """A server that asks for tokens."""

    server: RunningServer
    file: Path
    tokens: dict[str, str]
    """Those of the file, by name."""

    def browser(self) -> Browsing:
        return Browsing(self.server.http)

    def signed_in(self, name: str = "reader") -> Browsing:
        browser = self.browser()
        assert browser.sign_in(self.tokens[name]).status == 303
        return browser

    def failures(self, reason: str) -> float:
        return self.server.metric(f'gpubench_authentication_failures_total{{reason="{reason}"}}') or 0

    def refusals(self, reason: str) -> float:
        series = f'gpubench_refusals_total{{principal="unknown",reason="{reason}"}}'
        return self.server.metric(series) or 0


SLOW = Quota(max_requests_per_second=0.01)


def start(directory: Path, *options: str, **limits: float) -> Guarded:
    """The caller must leave ``server`` as a context."""
    file = directory / "tokens.json"
    wanted: list[tuple[str, Role, Quota, timedelta | None]] = [
        ("reader", "read", Quota(), None),
        ("other", "read", Quota(), None),
        ("runner", "run", Quota(), None),
        ("admin", "admin", Quota(), timedelta(days=1)),
        ("leaver", "read", Quota(), None),
        ("ending", "read", Quota(), timedelta(days=1)),
        ("busy", "read", SLOW, None),
        ("expired", "read", Quota(), timedelta(seconds=-1)),
    ]
    tokens = {name: add_token(file, name, *rest)[0] for name, *rest in wanted}  # type: ignore[arg-type]
    usual = {"authentication_delay_seconds": 0.02, "max_tokens_per_minute": 10_000}
    server = RunningServer(directory / "data", "--tokens", str(file), *options, **{**usual, **limits})
    return Guarded(server, file, tokens)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    found = start(tmp_path_factory.mktemp("guarded"), "--http-host", "Bench.Example.")
    with found.server:
        yield found


@pytest.fixture(scope="module")
def reader(guarded: Guarded) -> str:
    return guarded.tokens["reader"]


def is_signed_in(browser: Browsing) -> bool:
    status = browser.get("/").status
    assert status in (200, 303, 429)  # the last for one that asks too often
    return status != 303


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


# The page.


def test_a_page_leads_to_signing_in_and_back(guarded: Guarded, reader: str) -> None:
    browser = guarded.browser()
    asked = browser.get("/runs?limit=2&device=a%26b")
    assert (asked.status, asked.headers["location"]) == (
        303,
        "/sign-in?next=%2Fruns%3Flimit%3D2%26device%3Da%2526b",
    )
    form = browser.get(asked.headers["location"])
    assert (form.status, form.headers["cache-control"]) == (200, "no-store")
    assert 'name="next" value="/runs?limit=2&amp;device=a%26b"' in form.text
    assert "Sign out" not in form.text
    done = browser.sign_in(reader, "/runs?limit=2&device=a%26b")
    assert (done.status, done.headers["location"]) == (303, "/runs?limit=2&device=a%26b")
    page = browser.get(done.headers["location"])
    assert (page.status, page.headers["cache-control"]) == (200, "no-store")
    assert "reader, role read" in page.text
    assert 'action="/sign-out" method="post"' in page.text
    assert browser.get("/sign-in?next=/runs").headers["location"] == "/runs"  # nothing more to do there


@pytest.mark.parametrize(
    "page",
    [
        "//evil.example/",
        "/\\evil.example/",
        "https://evil.example/",
        "javascript:alert(1)",
        "/a\r\nX: y",
        "/\t/e",
        "",
    ],
)
def test_signing_in_leads_to_no_other_site(guarded: Guarded, reader: str, page: str) -> None:
    assert guarded.browser().sign_in(reader, page).headers["location"] == "/"
    form = guarded.browser().request("GET", f"//evil.example/{page.strip()[:1]}")
    assert form.headers["location"].startswith("/sign-in?next=")


@pytest.mark.parametrize(("name", "role"), [("reader", "read"), ("runner", "run"), ("admin", "admin")])
def test_every_role_reads(guarded: Guarded, name: str, role: Role) -> None:
    token, browser = guarded.tokens[name], guarded.signed_in(name)
    for path in ("/", "/runs", "/compare", "/live", "/api/v1/status"):
        assert browser.request("HEAD", path).status == 200
        assert guarded.browser().request("HEAD", path, headers=bearer(token)).status == 200
    assert f"{name}, role {role}" in browser.get("/").text


def refused(browser: Browsing, answer: Answer, words: str, status: int = 401) -> None:
    """Not signed in, which the form says."""
    assert answer.status == status, answer.text
    assert re.search(rf'role="alert".*{words}', answer.text)
    assert 'name="token"' in answer.text
    assert "set-cookie" not in answer.headers
    assert not is_signed_in(browser)


def test_a_token_that_is_not_right(guarded: Guarded, reader: str) -> None:
    for token, words, reason in (
        ("", "does not know the token", "unknown"),
        ("<script>alert(1)</script>", "does not know the token", "unknown"),
        (f"gpb_{'0' * 12}_{'x' * 43}", "does not know the token", "unknown"),
        (reader[:-1] + ("a" if reader[-1] != "a" else "b"), "does not know the token", "wrong"),
        (guarded.tokens["expired"], "expired at", "expired"),
    ):
        before, browser = guarded.failures(reason), guarded.browser()
        answer = browser.sign_in(token)
        refused(browser, answer, words)
        assert answer.headers["www-authenticate"].startswith("Bearer")
        assert "alert(1)" not in answer.text
        assert guarded.failures(reason) == before + 1
        by_api = guarded.browser().get("/api/v1/status", **bearer(token))
        assert by_api.status == 401
        assert json.loads(by_api.text)["kind"] == "not_authenticated"


def test_a_pasted_token_may_have_spaces_around_it(guarded: Guarded, reader: str) -> None:
    assert guarded.browser().sign_in(f" {reader}\n").status == 303


@pytest.mark.timing
def test_a_wrong_token_is_answered_late(tmp_path: Path) -> None:
    """And holds up nobody else meanwhile."""
    guarded = start(tmp_path, authentication_delay_seconds=0.5)
    with guarded.server:
        known = guarded.tokens["reader"]
        for token in ("", f"gpb_{'0' * 12}_{'x' * 43}", known[:-2] + "xx"):
            begun = time.monotonic()
            assert guarded.browser().sign_in(token).status == 401
            assert 0.5 <= time.monotonic() - begun < 1.0
        with closing(socket.create_connection(guarded.server.http, PATIENCE_SECONDS)) as guessing:
            guessing.sendall(b"GET /runs HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer guess\r\n\r\n")
            begun = time.monotonic()
            assert guarded.browser().get("/sign-in").status == 200
            assert time.monotonic() - begun < 0.4
            assert guessing.recv(12) == b"HTTP/1.1 401"


def test_guessing_is_refused_and_sessions_go_on(tmp_path: Path) -> None:
    guarded = start(tmp_path, max_tokens_per_minute=2)
    with guarded.server:
        browser = guarded.signed_in()
        assert guarded.browser().sign_in("guess").status == 401
        late = guarded.browser()
        answer = late.sign_in(guarded.tokens["other"])
        refused(late, answer, "too many tokens were tried from 127.0.0.1", 429)
        assert 0 < int(answer.headers["retry-after"]) <= 60
        assert guarded.browser().get("/api/v1/status", **bearer("guess")).status == 429
        assert is_signed_in(browser)
        assert is_signed_in(guarded.signed_in())  # as it was right before
        assert guarded.failures("too_many") == 2


# Sessions.


def test_the_cookie_is_for_this_server_alone(guarded: Guarded, reader: str) -> None:
    told = guarded.browser().sign_in(reader).headers["set-cookie"]
    name, flags = told.split("=", 1)[0], {each.strip().lower() for each in told.split(";")[1:]}
    assert name == f"gpubench-{guarded.server.http[1]}"
    # No Domain, and no longer than the browser runs.
    assert flags == {"httponly", "samesite=strict", "path=/"}
    value = told.split(";")[0].split("=", 1)[1]
    assert re.fullmatch(r"[\w-]{43}", value)
    assert value not in reader
    again = guarded.browser().sign_in(reader).headers["set-cookie"]
    assert value not in again


def test_a_planted_id_is_worth_nothing(guarded: Guarded, reader: str) -> None:
    """And signing in again ends the session before."""
    name = f"gpubench-{guarded.server.http[1]}"
    for planted in ("planted", "", 'a"b', "x" * 4000):
        victim = guarded.browser()
        victim.cookies[name] = planted
        assert not is_signed_in(victim)
        assert victim.sign_in(reader).status == 303
        assert victim.cookies[name] != planted
        attacker = guarded.browser()
        attacker.cookies[name] = planted
        assert not is_signed_in(attacker)
    before = guarded.browser()
    before.cookies = dict(victim.cookies)
    assert victim.sign_in(reader).status == 303
    assert is_signed_in(victim)
    assert not is_signed_in(before)


def test_signing_out_ends_the_session(guarded: Guarded) -> None:
    browser, kept = guarded.signed_in(), guarded.browser()
    other = guarded.signed_in()
    kept.cookies = dict(browser.cookies)
    with closing(watching(kept)) as live:
        answer = browser.post("/sign-out")
        assert (answer.status, answer.headers["location"]) == (303, "/sign-in")
        assert browser.cookies == {}
        assert ends(live)
    assert not is_signed_in(kept)
    assert is_signed_in(other)
    assert browser.get("/sign-out").text == "allowed methods: POST\n"
    assert browser.post("/sign-out").status == 303  # nothing is left to end


def watching(browser: Browsing) -> http.client.HTTPResponse:
    """The events of ``/live``, of which the first line was read."""
    connection = http.client.HTTPConnection(*browser.address, timeout=PATIENCE_SECONDS)
    cookies = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
    connection.request("GET", "/live", headers={"Cookie": cookies})
    response = connection.getresponse()
    assert response.status == 200
    assert response.readline()
    return response


def ends(live: http.client.HTTPResponse) -> bool:
    """Whether there are no more events after a while; until then each second has one."""
    until = time.monotonic() + PATIENCE_SECONDS
    while live.readline():
        if time.monotonic() > until:
            return False
    return True


def test_a_revoked_token_ends_its_sessions(guarded: Guarded) -> None:
    browser, other = guarded.signed_in("leaver"), guarded.signed_in()
    with closing(watching(browser)) as live:
        revoke_token(guarded.file, "leaver")
        assert ends(live)
    assert not is_signed_in(browser)
    assert guarded.browser().get("/api/v1/status", **bearer(guarded.tokens["leaver"])).status == 401
    assert is_signed_in(other)


def test_a_token_that_expires_ends_its_sessions(guarded: Guarded) -> None:
    browser = guarded.signed_in("ending")
    content = json.loads(guarded.file.read_text())
    (ending,) = (each for each in content["tokens"] if each["name"] == "ending")
    ending["expires_at"] = ending["created_at"]
    write_file(guarded.file, json.dumps(content).encode())
    assert within(PATIENCE_SECONDS, lambda: not is_signed_in(browser))


def test_sessions_are_limited_and_expire(tmp_path: Path) -> None:
    guarded = start(tmp_path, http_session_seconds=3, http_sessions_per_token=2)
    with guarded.server:
        browsers = [guarded.signed_in("other"), *(guarded.signed_in() for _ in range(3))]
        assert [is_signed_in(each) for each in browsers] == [True, False, True, True]
        assert within(PATIENCE_SECONDS, lambda: not is_signed_in(browsers[3]))
        assert is_signed_in(guarded.signed_in())


# Requests of other sites.

ELSEWHERE = [
    {"origin": "", "sec_fetch_site": ""},  # says nothing
    {"origin": "https://evil.example", "sec_fetch_site": ""},
    {"origin": "null", "sec_fetch_site": ""},
    {"origin": "http://127.0.0.1:1", "sec_fetch_site": ""},  # another port is another origin
    {"origin": "https://evil.example", "sec_fetch_site": "cross-site"},
    {"sec_fetch_site": "cross-site"},
    {"sec_fetch_site": "same-site"},
    {"sec_fetch_site": "none"},
]


@pytest.mark.parametrize("headers", ELSEWHERE)
def test_a_form_of_another_site_is_refused(guarded: Guarded, reader: str, headers: dict[str, str]) -> None:
    before, stranger, victim = guarded.refusals("forbidden"), guarded.browser(), guarded.signed_in()
    answer = stranger.sign_in(reader, **headers)
    assert (answer.status, stranger.cookies) == (403, {})
    assert victim.post("/sign-out", **headers).status == 403
    assert is_signed_in(victim)
    assert guarded.refusals("forbidden") == before + 2


def test_a_browser_that_only_names_its_origin_signs_in(guarded: Guarded, reader: str) -> None:
    assert guarded.browser().sign_in(reader, sec_fetch_site="").status == 303
    # Behind a proxy the name may be another one, which the browser does not know.
    assert guarded.browser().sign_in(reader, origin="https://bench.example").status == 303


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_link_of_another_site_is_followed_and_no_more(guarded: Guarded, site: str) -> None:
    link = {"sec_fetch_site": site, "sec_fetch_mode": "navigate", "sec_fetch_dest": "document"}
    form = guarded.browser().get("/sign-in?next=/runs", **link)
    assert 'If you have signed in already, <a href="/runs">go on</a>' in form.text
    browser = guarded.signed_in()
    assert browser.get("/runs", **link).status == 200
    for mode, place in (
        ("no-cors", "image"),
        ("cors", "empty"),
        ("navigate", "iframe"),
        ("navigate", "embed"),
    ):
        used = {**link, "sec_fetch_mode": mode, "sec_fetch_dest": place}
        assert browser.get("/runs", **used).status == 403
    assert browser.get("/runs").headers["cross-origin-resource-policy"] == "same-origin"


# Names.


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LocalHost.:80",
        "127.0.0.1",
        "[::1]:9707",
        "192.0.2.7:65535",
        "bench.example:9707",
        socket.gethostname(),
    ],
)
def test_a_name_of_this_server(guarded: Guarded, host: str) -> None:
    assert guarded.browser().get("/sign-in", host=host).status == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "x.bench.example",
        "1.2.3.4%.evil.example",
        "a b",
        "[",
        "[::1",
        "a:b",
        "localhost:65536",
        "@localhost",
        "localhost/x",
        "",
        "<script>alert(1)</script>",
    ],
)
def test_a_name_of_another_server_is_refused(guarded: Guarded, reader: str, host: str) -> None:
    """As it comes by DNS rebinding."""
    browser = guarded.signed_in()
    for path in ("/", "/runs", "/metrics", "/sign-in", "/api/v1/status"):
        answer = browser.get(path, host=host, **bearer(reader))
        assert answer.status == 421
        assert "alert(1)</script>" not in answer.text
    assert browser.get("/healthz", host=host).status == 200
    told = browser.get("/api/v1/status", host="evil.example").text
    assert "start the server with --http-host NAME" in json.loads(told)["message"]


def test_a_client_of_http_1_0_needs_no_name(guarded: Guarded) -> None:
    with closing(socket.create_connection(guarded.server.http, PATIENCE_SECONDS)) as probe:
        probe.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
        assert probe.recv(100).startswith(b"HTTP/1.1 200 ")


# The API and monitoring.


def test_the_api_takes_a_bearer_token(guarded: Guarded, reader: str) -> None:
    without = guarded.browser().get("/api/v1/runs")
    assert (without.status, without.headers["www-authenticate"]) == (401, 'Bearer realm="gpubench"')
    assert json.loads(without.text)["kind"] == "not_authenticated"
    assert "Authorization: Bearer TOKEN" in json.loads(without.text)["message"]
    assert guarded.browser().get("/api/v1/runs", authorization=f"bearer  {reader}").text == "[]"
    assert guarded.browser().get("/api/v1/runs", authorization="Basic YTpi").status == 401
    # Of a proxy before this server:
    assert guarded.signed_in().get("/api/v1/runs", authorization="Basic YTpi").status == 200
    assert guarded.browser().get("/runs", authorization="Basic YTpi").status == 303
    assert guarded.signed_in().get("/api/v1/runs", **bearer("guess")).status == 401


def test_the_description_says_how(guarded: Guarded, reader: str) -> None:
    described = json.loads(guarded.browser().get("/api/v1/openapi.json", **bearer(reader)).text)
    scheme = described["components"]["securitySchemes"]["token"]
    assert (scheme["type"], scheme["scheme"]) == ("http", "bearer")
    assert described["security"] == [{"token": []}]
    for operations in described["paths"].values():
        assert {"401", "403", "421", "429"} <= operations["get"]["responses"].keys()


def test_requests_are_counted_as_on_the_benchmark_port(guarded: Guarded) -> None:
    token = guarded.tokens["busy"]
    first, second = (guarded.browser().get("/api/v1/status", **bearer(token)) for _ in range(2))
    assert (first.status, second.status) == (200, 429)
    assert json.loads(second.text)["kind"] == "limit_exceeded"
    assert 1 <= int(second.headers["retry-after"]) <= 100


@pytest.mark.parametrize(
    "path", ["/healthz", "/readyz", "/static/page.css", "/static/icon.svg", "/sign-in", "/metrics"]
)
def test_addresses_that_need_no_token(guarded: Guarded, path: str) -> None:
    assert within(PATIENCE_SECONDS, lambda: guarded.browser().get(path).status == 200)


@pytest.mark.parametrize(
    "path", ["/", "/runs", "/runs/none", "/runs/none/report", "/compare", "/nothing", "/api/v1", "/live"]
)
def test_addresses_that_need_a_token(guarded: Guarded, path: str) -> None:
    answer = guarded.browser().request("GET", path)
    assert (answer.status, answer.headers.get("location", "").startswith("/sign-in")) in (
        (303, True),
        (401, False),
    )
    assert guarded.browser().request("POST", path).status == 401


def test_metrics_and_reasons_for_those_with_a_token(tmp_path: Path) -> None:
    guarded = start(tmp_path, "--metrics-access", "token")
    with guarded.server as server:
        token = guarded.tokens["runner"]
        answer = guarded.browser().get("/metrics")
        assert (answer.status, answer.headers["www-authenticate"][:6]) == (401, "Bearer")
        assert "gpubench_build_info" in guarded.browser().get("/metrics", **bearer(token)).text
        assert guarded.browser().get("/metrics", **bearer("guess")).status == 401
        with server.connect() as client:
            client.ask("hello", {"token": token})
            client.begin_measuring(long())
            server.process.send_signal(signal.SIGTERM)
            assert within(PATIENCE_SECONDS, lambda: guarded.browser().get("/readyz").status == 503)
            assert "draining" not in guarded.browser().get("/readyz").text
            assert "draining" in guarded.browser().get("/readyz", **bearer(token)).text
            server.process.send_signal(signal.SIGTERM)


# Forms that no browser sends.


def test_a_form_has_bounds(tmp_path: Path) -> None:
    guarded = start(tmp_path, http_deadline_seconds=1)
    with guarded.server as server:
        browser = guarded.browser()
        assert "the form is longer than" in browser.post("/sign-in", {"token": "x" * 20_000}).text
        for body in ("\xff", "&".join(f"a{number}=1" for number in range(50))):
            headers = {"Origin": browser.origin, "Content-Type": "application/x-www-form-urlencoded"}
            answer = browser.request("POST", "/sign-in", body, headers)
            assert (answer.status, "not a valid form" in answer.text) == (400, True)
        head = "POST /sign-in HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost\r\n"
        head += "Content-Length: 50\r\n\r\n"
        with closing(socket.create_connection(server.http, PATIENCE_SECONDS)) as slow:
            slow.sendall(head.encode() + b"token=")
            assert slow.recv(12) == b"HTTP/1.1 408"
        with closing(socket.create_connection(server.http, PATIENCE_SECONDS)) as leaver:
            leaver.sendall(head.encode())
        assert guarded.browser().get("/sign-in").status == 200
        assert server.stop() == 0
        assert not [line for line in server.log if "Traceback" in line or "ERROR" in line]


# Without tokens, and without encryption.


def test_a_server_that_asks_nobody_has_no_sign_in(tmp_path: Path) -> None:
    with RunningServer(tmp_path) as server:
        browser = Browsing(server.http)
        assert browser.get("/sign-in").status == 404
        assert browser.post("/sign-in", {"token": "x"}).status == 404
        page = browser.get("/", authorization="Bearer whatever")
        assert page.status == 200
        assert "Sign out" not in page.text
        assert json.loads(browser.get("/api/v1/openapi.json").text)["security"] == []
        assert browser.get("/", host="evil.example").status == 421
        assert browser.get("/", sec_fetch_site="cross-site", sec_fetch_mode="no-cors").status == 403


def test_a_token_is_not_taken_where_others_can_read_it(tmp_path: Path) -> None:
    guarded = start(tmp_path, "--http", f"{own_address()}:0", "--insecure")
    with guarded.server:
        assert any("--insecure: http://" in line for line in guarded.server.log)
        browser, token = guarded.browser(), guarded.tokens["reader"]
        form = browser.get("/sign-in").text
        assert "not encrypted" in form
        assert 'name="token"' not in form
        answer = browser.sign_in(token)
        assert (answer.status, browser.cookies) == (401, {})
        assert "have it revoked" in answer.text
        assert browser.get("/api/v1/status", **bearer(token)).status == 401
        assert browser.get("/metrics").status == 401
