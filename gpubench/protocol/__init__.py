"""The wire, without I/O: messages, framing, sessions."""
