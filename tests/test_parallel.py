"""Work in threads whose results come in order, in bounded memory, with errors in their turn."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from vidnst.processes import parallel
from vidnst.processes.parallel import ordered_results, thread_count


def test_results_keep_order_of_tasks() -> None:
    second_done = threading.Event()

    def first() -> str:
        assert second_done.wait(10)
        return "first"

    def second() -> str:
        second_done.set()
        return "second"

    with ThreadPoolExecutor(2) as pool:
        assert list(ordered_results([first, second, lambda: "third"], pool, ahead=1)) == ["first", "second", "third"]


def test_tasks_are_requested_within_look_ahead() -> None:
    asked: list[int] = []

    def pieces() -> Iterator[Callable[[], int]]:
        for number in range(20):
            asked.append(number)
            yield lambda number=number: number

    with ThreadPoolExecutor(3) as pool:
        for number in ordered_results(pieces(), pool, ahead=4):
            assert len(asked) <= number + 1 + 4
    assert asked == list(range(20))


@pytest.mark.parametrize("where", ["in a piece", "between pieces"])
def test_error_is_raised_in_its_turn(where: str) -> None:
    def broken() -> int:
        raise KeyError("third")

    def pieces() -> Iterator[Callable[[], int]]:
        yield lambda: 1
        yield lambda: 2
        if where == "between pieces":
            raise KeyError("third")
        yield broken
        yield lambda: 4

    got: list[int] = []
    with ThreadPoolExecutor(2) as pool, pytest.raises(KeyError, match="third"):
        got.extend(ordered_results(pieces(), pool, ahead=8))
    assert got == [1, 2]


def test_closing_early_drops_tasks_not_begun() -> None:
    go, done = threading.Event(), []

    def piece(number: int) -> int:
        if number:
            assert go.wait(10)
        done.append(number)
        return number

    with ThreadPoolExecutor(1) as pool:
        with closing(ordered_results((lambda n=n: piece(n) for n in range(9)), pool, ahead=8)) as results:
            assert next(results) == 0
        go.set()
    assert len(done) <= 2  # the first, and the one that was being done


def test_thread_count_respects_cores_and_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "local_cores", lambda: 16)
    assert thread_count(10, 1000) == 16
    assert thread_count(10, 50) == 5
    assert thread_count(1000, 50) == 1
    monkeypatch.setattr(parallel, "local_cores", lambda: 512)
    assert thread_count(1, 1000) < 64
