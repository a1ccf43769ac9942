"""What a client's connection may do next: its states, the events that change them, and one table.

This file knows no socket and no clock: it says which event may follow in which state, and nothing else.
Whatever decides about the life of a connection is an event here; ``connection.py`` finds out when an
event has happened and does what the new state asks for.

How it works
============

A connection has two sides. What the client sends is read line by line, and each line is served in turn;
answers leave by the outbox at their own pace. The state is that of the reading side, because that is
where connections differ: how much of a line has arrived, whether more can come, and whether the client
is still listened to. Of the sending side one fact matters, the event ``ALL_SENT``: nothing is waiting to
be sent, and no answer is still to come.

1) A connection starts in ``OPENING``. Peers that mistook the port, for HTTP or TLS, show it in their
   first bytes, so the first line has two states of its own, and its bytes are checked in these states
   only.

2) ``READY`` and ``IN_LINE`` alternate for as long as the client sends lines. The deadline of a line
   runs from the entry into ``FIRST_LINE`` or ``IN_LINE``. ``LINE_INCOMPLETE`` does not leave these
   states, so bytes that arrive one by one do not restart the deadline. In the four states up to here,
   a client that has been idle for too long is disconnected (``TIME_OVER``).

3) A client that closes its sending side (``echo ... | nc``) still gets its answers: in ``ENDED`` the
   lines that have arrived are served, and the connection closes once everything has been sent.

4) A client that breaks the protocol is refused: the error is queued, and whatever else it sends is
   read and discarded. After the error has been sent, the sending side is shut down and the connection
   lingers until the client closes, or for a limited time. Closing at once would not do: a close with
   unread input resets the connection, and the reset can overtake the error. If the client had already
   ended its input, nothing can be left unread, so ``CLOSING`` only sends the error.

Every state but ``CLOSED`` leads to ``CLOSED``. A connection that breaks down (reset, or a send deadline)
is abandoned without an event: nothing is left to decide.
"""

from __future__ import annotations

from enum import IntEnum, auto

from gpubench.errors import InternalError


class State(IntEnum):
    """Integers, because every line looks a state up and an ``Enum`` hashes in Python."""

    OPENING = auto()
    """Nothing has arrived yet."""
    FIRST_LINE = auto()
    """A part of the first line has arrived."""
    READY = auto()
    """Between lines."""
    IN_LINE = auto()
    """A part of a line has arrived."""
    ENDED = auto()
    """The client sends no more and waits for its answers."""
    REFUSED = auto()
    """An error is being sent; input is discarded."""
    CLOSING = auto()
    """An error is being sent; input has ended."""
    LINGERING = auto()
    """Everything has been sent and our side is shut down; input is discarded."""
    CLOSED = auto()


class Event(IntEnum):
    LINE_INCOMPLETE = auto()
    """Bytes of a line are here, its newline is not."""
    LINE_COMPLETE = auto()
    """A complete line was taken out of the buffer."""
    INPUT_ENDED = auto()
    """The client closed its sending side."""
    REFUSED = auto()
    """The client broke the protocol and the error has been queued."""
    ALL_SENT = auto()
    """Nothing is waiting to be sent, and no answer is still to come."""
    TIME_OVER = auto()
    """The client has been idle, or we have lingered, for as long as is allowed."""


TRANSITIONS: dict[State, dict[Event, State]] = {
    State.OPENING: {
        Event.LINE_INCOMPLETE: State.FIRST_LINE,
        Event.LINE_COMPLETE: State.READY,
        Event.INPUT_ENDED: State.ENDED,
        Event.REFUSED: State.REFUSED,
        Event.TIME_OVER: State.CLOSED,
    },
    State.FIRST_LINE: {
        Event.LINE_INCOMPLETE: State.FIRST_LINE,
        Event.LINE_COMPLETE: State.READY,
        Event.INPUT_ENDED: State.ENDED,
        Event.REFUSED: State.REFUSED,
        Event.TIME_OVER: State.CLOSED,
    },
    State.READY: {
        Event.LINE_INCOMPLETE: State.IN_LINE,
        Event.LINE_COMPLETE: State.READY,
        Event.INPUT_ENDED: State.ENDED,
        Event.REFUSED: State.REFUSED,
        Event.TIME_OVER: State.CLOSED,
    },
    State.IN_LINE: {
        Event.LINE_INCOMPLETE: State.IN_LINE,
        Event.LINE_COMPLETE: State.READY,
        Event.INPUT_ENDED: State.ENDED,
        Event.REFUSED: State.REFUSED,
        Event.TIME_OVER: State.CLOSED,
    },
    State.ENDED: {
        Event.LINE_COMPLETE: State.ENDED,
        Event.REFUSED: State.CLOSING,
        Event.ALL_SENT: State.CLOSED,
    },
    State.REFUSED: {Event.INPUT_ENDED: State.CLOSING, Event.ALL_SENT: State.LINGERING},
    State.CLOSING: {Event.ALL_SENT: State.CLOSED},
    State.LINGERING: {Event.INPUT_ENDED: State.CLOSED, Event.TIME_OVER: State.CLOSED},
    State.CLOSED: {},
}

OPEN = frozenset(State) - {State.CLOSED}

LISTENING = frozenset({State.OPENING, State.FIRST_LINE, State.READY, State.IN_LINE})
"""Lines are read and served."""

UNRECOGNISED = frozenset({State.OPENING, State.FIRST_LINE})
"""Whether the client speaks this protocol is not known yet."""

IN_A_LINE = frozenset({State.FIRST_LINE, State.IN_LINE})
"""The deadline of a line is running."""

DISCARDING = frozenset({State.REFUSED, State.LINGERING})
"""Input is read and thrown away."""

FINISHING = frozenset(state for state, row in TRANSITIONS.items() if Event.ALL_SENT in row)
"""All that is left to do is to send."""


def next_state(state: State, event: Event) -> State:
    """The state after ``event``; raises ``InternalError`` if the table has no such transition."""
    try:
        return TRANSITIONS[state][event]
    except KeyError:
        raise InternalError(f"a connection in state {state.name} cannot take {event.name}") from None
