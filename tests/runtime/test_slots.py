"""Run slots: never more holders than slots, first come first served, and no slot lost to a time-out."""

import threading
import time

from runtime.isolate import RunSlots

SOON = 5.0


def later(seconds: float = SOON) -> float:
    return time.monotonic() + seconds


def test_as_many_as_there_are_slots_get_one_at_once():
    slots = RunSlots(2)
    assert slots.acquire(later())
    assert slots.acquire(later())
    assert not slots.acquire(time.monotonic())


def test_a_released_slot_can_be_taken_again():
    slots = RunSlots(1)
    for _ in range(3):
        assert slots.acquire(later())
        slots.release()


def test_a_wait_that_timed_out_leaves_the_queue_and_loses_no_slot():
    slots = RunSlots(1)
    assert slots.acquire(later())
    assert not slots.acquire(time.monotonic() - 1)
    assert not slots.contended
    slots.release()
    assert slots.acquire(time.monotonic() + SOON)


def test_waiters_are_served_in_the_order_they_came():
    slots = RunSlots(1)
    slots.acquire(later())
    served: list[int] = []
    threads = []
    for number in range(5):
        queued = len(slots._waiting)
        thread = threading.Thread(target=lambda n=number: (slots.acquire(later()), served.append(n), slots.release()))
        thread.start()
        threads.append(thread)
        while len(slots._waiting) == queued:
            pass
    slots.release()
    for thread in threads:
        thread.join(SOON)
    assert served == [0, 1, 2, 3, 4]


def test_never_more_holders_than_slots():
    slots = RunSlots(2)
    holding, most, lock = 0, 0, threading.Lock()

    def work() -> None:
        nonlocal holding, most
        for _ in range(200):
            assert slots.acquire(later())
            with lock:
                holding += 1
                most = max(most, holding)
            with lock:
                holding -= 1
            slots.release()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most <= 2


def test_slots_are_taken_while_who_asked_would_have_to_wait():
    slots = RunSlots(1)
    assert not slots.taken
    assert slots.acquire(time.monotonic() + 5)
    assert slots.taken
    slots.release()
    assert not slots.taken
