"""The wire, without I/O: messages and their validation, and the client's session."""
