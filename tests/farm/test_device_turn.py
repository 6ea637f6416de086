"""The turns of several threads at one device."""

import threading

from support.processes import wait_until

from vidnst.farm.device_turn import DeviceTurn


def test_earliest_place_that_waits_goes_first() -> None:
    turn, order = DeviceTurn(), list[int]()
    places = [turn.place() for _ in range(4)]

    def compute(place: int) -> None:
        with turn.held(place):
            order.append(place)

    threads = [threading.Thread(target=compute, args=[place]) for place in (places[3], places[1], places[2])]
    with turn.held(places[0]):
        for thread in threads:
            thread.start()
        assert wait_until(lambda: len(turn._waiting) == 3)
        assert order == []
    for thread in threads:
        thread.join(20)
    assert order == sorted(places[1:])


def test_place_that_is_not_ready_keeps_nobody_waiting() -> None:
    turn = DeviceTurn()
    late, early = turn.place(), turn.place()
    with turn.held(early) as stopwatch:
        assert stopwatch.seconds == 0.0
    with turn.held(late):
        pass
    assert stopwatch.seconds > 0.0


def test_turn_ends_with_an_error() -> None:
    turn = DeviceTurn()
    for _ in range(2):
        try:
            with turn.held(turn.place()):
                raise ValueError("no such thing")
        except ValueError:
            pass
    with turn.held(turn.place()):
        pass
