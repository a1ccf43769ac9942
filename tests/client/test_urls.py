import pytest
from gpubench_client.urls import Address, ServerAddress, SocketPath, parse_url
from hypothesis import given
from hypothesis import strategies as st

from gpubench.errors import InvalidParameters
from gpubench.protocol.messages import DEFAULT_PORT


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("tcp://gpu1:1234", Address("gpu1", 1234)),
        ("tcp://gpu1", Address("gpu1", DEFAULT_PORT)),
        ("TCP://10.0.0.7:1/", Address("10.0.0.7", 1)),
        (" tcp://a.example:65535\n", Address("a.example", 65535)),
        ("tcp://[::1]:8", Address("::1", 8)),
        ("tcp://[fe80::1%eth0]", Address("fe80::1%eth0", DEFAULT_PORT)),
        ("udp://gpu1", Address("gpu1", DEFAULT_PORT, "udp")),
        ("unix:///run/gpubench.sock", SocketPath("/run/gpubench.sock")),
        ("UNIX:///a b/ü?#%20", SocketPath("/a b/ü?#%20")),
        ("unixgram:///tmp/x", SocketPath("/tmp/x", "unixgram")),
    ],
)
def test_addresses(text: str, address: ServerAddress) -> None:
    assert parse_url(text) == address
    assert parse_url(str(address)) == address


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "allowed: tcp://HOST"),
        ("tcp://", "allowed: tcp://HOST"),
        ("tcp://:7707", "allowed: tcp://HOST"),
        ("tcp://host:", "allowed: tcp://HOST"),
        ("tcp://host:0", "allowed: 1 to 65535"),
        ("tcp://host:65536", "allowed: 1 to 65535"),
        ("tcp://host:99999999", "allowed: tcp://HOST"),
        ("tcp://host/path", "allowed: tcp://HOST"),
        ("tcp://me:secret@host", "allowed: tcp://HOST"),
        ("tcp://::1:7707", "allowed: tcp://HOST"),
        ("unix://gpubench.sock", "did you mean unix:///gpubench.sock"),
        ("unix://", "the path of a socket is absolute"),
        ("unix:///run/", "did you mean unix:///run"),
        ("unix:///" + 107 * "x", "at most 107 bytes, none of them 0; this one has 108"),
        ("/run/gpubench.sock", "did you mean unix:///run/gpubench.sock"),
        ("ssl://host", "ssl is not supported"),
        ("http://host:9707", "http is not supported; allowed: tcp://HOST"),
        ("host:7707", "did you mean tcp://host:7707"),
        ("[::1]", r"did you mean tcp://\[::1\]"),
    ],
)
def test_a_wrong_address_is_an_error_with_what_is_allowed(text: str, said: str) -> None:
    with pytest.raises(InvalidParameters, match=said):
        parse_url(text)


@given(
    st.text(max_size=40)
    | st.text("tcp:/[]@.%0123456789a", max_size=20).map("tcp://".__add__)
    | st.text(max_size=40).map("unix:///".__add__)
)
def test_any_text_is_an_address_or_invalid_parameters(text: str) -> None:
    try:
        address = parse_url(text)
    except InvalidParameters:
        return
    assert parse_url(str(address)) == address
