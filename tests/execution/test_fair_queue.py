"""The queue between tenants: round robin, first come first served within one, and nothing lost."""

import time
from collections import Counter, deque

from hypothesis import given
from hypothesis import strategies as st

from runtime.execution.caller import Caller
from runtime.execution.execution import Execution, Program
from runtime.execution.fair_queue import FairQueue
from sandboxes.limits import Limits
from sandboxes.profile import Profile

PROFILE = Profile(name="p", version=1, languages=("javascript",), environments=("dev",))


def execution(owner: str) -> Execution:
    caller = Caller(
        principal="local", actor="a", owner=owner, environment="dev", reason="r", expires_at=time.time() + 60
    )
    program = Program(
        code="1",
        language="javascript",
        inputs="null",
        profile=PROFILE,
        limits=Limits(),
        limit_sources={},
        caller=caller,
    )
    return Execution(program=program, image_digest="sha256:0")


def anywhere(_: Execution) -> str:
    return "here"


def owners(queue: FairQueue) -> list[str]:
    found = []
    while (popped := queue.pop(anywhere)) is not None:
        found.append(popped[0].program.caller.owner)
    return found


def test_a_tenants_many_do_not_delay_anothers_first():
    queue = FairQueue()
    for _ in range(1000):
        queue.push(execution("many"))
    queue.push(execution("one"))
    first = [queue.pop(anywhere)[0].program.caller.owner for _ in range(2)]
    assert "one" in first


def test_a_tenant_that_finds_no_place_does_not_hold_up_the_others():
    queue = FairQueue()
    queue.push(execution("waits"))
    queue.push(execution("goes"))
    popped = queue.pop(lambda e: None if e.program.caller.owner == "waits" else "here")
    assert popped[0].program.caller.owner == "goes"
    assert queue.waiting("local/waits") == 1


def test_one_is_removed_from_the_middle():
    queue = FairQueue()
    executions = [execution("a") for _ in range(3)]
    for each in executions:
        queue.push(each)
    queue.remove(executions[1])
    assert [queue.pop(anywhere)[0] for _ in range(2)] == [executions[0], executions[2]]
    assert not queue


@given(st.lists(st.sampled_from("abc"), max_size=40))
def test_nothing_is_lost_and_each_tenant_keeps_its_order(pushed):
    queue, expected = FairQueue(), {owner: deque() for owner in "abc"}
    for owner in pushed:
        each = execution(owner)
        queue.push(each)
        expected[owner].append(each)
    assert len(queue) == len(pushed)
    while (popped := queue.pop(anywhere)) is not None:
        assert expected[popped[0].program.caller.owner].popleft() is popped[0]
    assert not any(expected.values())
    assert len(queue) == 0


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=40))
def test_between_two_turns_of_a_tenant_every_waiting_other_has_one(pushed):
    queue = FairQueue()
    for owner in pushed:
        queue.push(execution(owner))
    left, last = Counter(pushed), {}
    for turn, owner in enumerate(owners(queue)):
        left[owner] -= 1
        for other in "abc":
            if left[other] and other in last:
                assert turn - last[other] <= 3
        last[owner] = turn
