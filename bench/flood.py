"""Keeps a thousand executions of one owner under way until its standard input closes. Used by bench.fairness.

A process of its own, so that it does not share a lock with the client whose latency is measured. Its token comes
as the first line of its input.
"""

import sys
import threading

from bench.caller import Caller
from bench.cell import bench_request

FLOOD = 1_000
PROGRAM = "let x = 0; for (let i = 0; i < 20000; i++) x += i; x"


def stop_at_end_of_input(stop: threading.Event) -> None:
    sys.stdin.read()
    stop.set()


def main() -> None:
    token = sys.stdin.readline().strip()
    request = bench_request(PROGRAM, "javascript", profile_name="fair", owner="flooding")
    places = threading.Semaphore(FLOOD)
    stop = threading.Event()
    threading.Thread(target=stop_at_end_of_input, args=(stop,), daemon=True).start()
    sent = 0
    with Caller(sys.argv[1], token) as caller:
        while not stop.is_set():
            places.acquire()
            caller.future(request).add_done_callback(lambda _: places.release())
            sent += 1
            if sent == FLOOD:
                print("flooding", flush=True)
        for _ in range(FLOOD):
            places.acquire()
    print(sent, flush=True)


if __name__ == "__main__":
    main()
