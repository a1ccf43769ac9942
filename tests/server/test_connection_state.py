"""The states of a connection, without a socket."""

from __future__ import annotations

import itertools

import pytest
from gpubench_server.connection_state import (
    DISCARDING,
    FINISHING,
    IN_A_LINE,
    LISTENING,
    OPEN,
    TRANSITIONS,
    UNRECOGNISED,
    Event,
    State,
    next_state,
)

from gpubench.errors import InternalError

ILLEGAL = [pair for pair in itertools.product(State, Event) if pair[1] not in TRANSITIONS[pair[0]]]


def walk(*events: Event) -> list[State]:
    """The states that these events lead through from the start."""
    return list(itertools.accumulate(events, next_state, initial=State.OPENING))


def reachable(state: State) -> set[State]:
    """All states that can follow, the state itself included."""
    found, left = {state}, [state]
    while left:
        new = set(TRANSITIONS[left.pop()].values()) - found
        found |= new
        left += new
    return found


def test_lines_alternate_with_pauses() -> None:
    assert walk(
        Event.LINE_INCOMPLETE,
        Event.LINE_INCOMPLETE,
        Event.LINE_COMPLETE,
        Event.LINE_COMPLETE,
        Event.LINE_INCOMPLETE,
        Event.LINE_COMPLETE,
        Event.TIME_OVER,
    ) == [
        State.OPENING,
        State.FIRST_LINE,
        State.FIRST_LINE,
        State.READY,
        State.READY,
        State.IN_LINE,
        State.READY,
        State.CLOSED,
    ]


def test_a_client_that_ended_its_input_gets_its_answers() -> None:
    assert walk(Event.LINE_COMPLETE, Event.INPUT_ENDED, Event.LINE_COMPLETE, Event.ALL_SENT)[2:] == [
        State.ENDED,
        State.ENDED,
        State.CLOSED,
    ]


@pytest.mark.parametrize("before", [(), (Event.LINE_INCOMPLETE,), (Event.LINE_COMPLETE,)])
@pytest.mark.parametrize("last", [Event.INPUT_ENDED, Event.TIME_OVER])
def test_a_refused_client_lingers(before: tuple[Event, ...], last: Event) -> None:
    assert walk(*before, Event.REFUSED, Event.ALL_SENT, last)[-3:] == [
        State.REFUSED,
        State.LINGERING,
        State.CLOSED,
    ]


@pytest.mark.parametrize("events", [(Event.REFUSED, Event.INPUT_ENDED), (Event.INPUT_ENDED, Event.REFUSED)])
def test_refused_after_all_input_it_closes_at_once(events: tuple[Event, ...]) -> None:
    assert walk(*events, Event.ALL_SENT)[-2:] == [State.CLOSING, State.CLOSED]


@pytest.mark.parametrize(("state", "event"), ILLEGAL)
def test_other_transitions_are_illegal(state: State, event: Event) -> None:
    with pytest.raises(InternalError, match=f"{state.name} cannot take {event.name}"):
        next_state(state, event)


def test_a_closed_connection_takes_no_event() -> None:
    assert [event for state, event in ILLEGAL if state is State.CLOSED] == list(Event)
    assert set(State) - OPEN == {State.CLOSED}


def test_every_state_is_reached_and_can_end() -> None:
    assert reachable(State.OPENING) == set(State)
    assert all(State.CLOSED in reachable(state) for state in State)


def test_no_line_is_taken_from_a_refused_client() -> None:
    after = reachable(State.REFUSED) | reachable(State.CLOSING)
    assert after.isdisjoint(LISTENING)
    assert not any({Event.LINE_COMPLETE, Event.LINE_INCOMPLETE} & TRANSITIONS[each].keys() for each in after)


def test_input_ends_once() -> None:
    for row in TRANSITIONS.values():
        if Event.INPUT_ENDED in row:
            assert not any(
                Event.INPUT_ENDED in TRANSITIONS[each] for each in reachable(row[Event.INPUT_ENDED])
            )


def test_input_is_read_exactly_where_it_can_end() -> None:
    """A connection that does not read never learns that the input ended."""
    assert {state for state, row in TRANSITIONS.items() if Event.INPUT_ENDED in row} == LISTENING | DISCARDING


def test_a_state_that_waits_for_nothing_else_has_a_time_limit() -> None:
    """Else a client that does nothing keeps its connection, and a thread."""
    assert all((Event.TIME_OVER in TRANSITIONS[state]) != (state in FINISHING) for state in OPEN)


def test_the_first_line_has_states_of_its_own() -> None:
    assert all(State.OPENING not in row.values() for row in TRANSITIONS.values())
    assert {state for state in State if State.FIRST_LINE in TRANSITIONS[state].values()} == UNRECOGNISED
    assert {
        row[Event.LINE_INCOMPLETE] for row in TRANSITIONS.values() if Event.LINE_INCOMPLETE in row
    } == IN_A_LINE
