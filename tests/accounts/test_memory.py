"""What a process remembers of sessions and passwords, and when it does not."""

import time
from itertools import chain
from uuid import uuid4

import pytest

from accounts.memory import SessionMemory
from accounts.people import CheckedSession, Person
from accounts.remembered import RememberedPasswords
from accounts.tokens import token_hash
from tests.accounts.conftest import Clock


def session(user_id: int = 1, until_s: float = 1_060.0) -> CheckedSession:
    person = Person(user_id=user_id, session_id=uuid4(), username="ann", nickname="", image="")
    return CheckedSession(person=person, until_s=until_s)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def memory(clock: Clock) -> SessionMemory:
    memory = SessionMemory(most=3, clock=clock)
    memory.trust()
    return memory


def put(memory: SessionMemory, name: str, given: CheckedSession) -> bytes:
    digest = token_hash(name)
    memory.put(digest, given, began_s=time.monotonic())
    return digest


def test_a_session_is_believed_until_its_time(memory, clock):
    given = session()
    digest = put(memory, "a", given)
    entry = memory.find(digest)
    assert entry is not None
    assert entry.person == given.person
    clock.now_s = 1_060.0
    assert memory.find(digest) is None


def test_nothing_is_remembered_while_nothing_is_heard(memory):
    digest = put(memory, "a", session())
    memory.distrust()
    assert memory.find(digest) is None
    put(memory, "a", session())
    assert memory.find(digest) is None
    memory.trust()
    assert memory.find(digest) is None


def test_a_change_forgets_all_sessions_of_its_user_only(memory):
    mine = [put(memory, name, session(1)) for name in "ab"]
    other = put(memory, "c", session(2))
    memory.forget_user(1)
    assert [memory.find(digest) for digest in mine] == [None, None]
    assert memory.find(other)


def test_what_was_read_before_a_change_is_not_remembered_after_it(memory):
    began_s = time.monotonic()
    memory.forget_user(1)
    memory.put(token_hash("a"), session(1), began_s=began_s)
    assert memory.find(token_hash("a")) is None
    put(memory, "a", session(1))
    assert memory.find(token_hash("a"))


def test_it_is_bounded_and_drops_the_oldest(memory):
    digests = [put(memory, name, session(number)) for number, name in enumerate("abcde")]
    assert [memory.find(digest) is not None for digest in digests] == [
        False,
        False,
        True,
        True,
        True,
    ]
    assert len(memory) == 3


def test_uses_are_told_once(memory):
    one, two = session(1), session(2)
    digest = put(memory, "a", one)
    put(memory, "b", two)
    assert set(memory.take_used()) == {one.person.session_id, two.person.session_id}
    assert memory.take_used() == []
    for _ in range(3):
        memory.find(digest)
    assert memory.take_used() == [one.person.session_id]


def test_who_is_in_use_shortly_before_the_end_is_given_once(memory, clock):
    used, unused = put(memory, "a", session(1)), put(memory, "b", session(2))
    memory.find(used)
    clock.now_s = 1_039.0
    assert memory.take_ending(most=10) == []
    clock.now_s = 1_040.0
    assert memory.take_ending(most=10) == [used]
    assert memory.take_ending(most=10) == []
    memory.give_back([used])
    assert memory.take_ending(most=10) == []
    clock.now_s = 1_041.0
    assert memory.take_ending(most=10) == [used]
    # Looked at again after half of what was left.
    memory.find(unused)
    clock.now_s = 1_049.0
    assert memory.take_ending(most=10) == []
    clock.now_s = 1_050.0
    assert memory.take_ending(most=10) == [unused]


def test_who_is_not_used_is_given_up(memory, clock):
    put(memory, "a", session())
    for now_s in range(1_000, 1_060):
        clock.now_s = float(now_s)
        assert memory.take_ending(most=10) == []
    assert not memory._looks


def test_no_more_are_given_than_are_asked_for(clock):
    memory = SessionMemory(clock=clock)
    memory.trust()
    digests = [put(memory, str(number), session(number)) for number in range(25)]
    for digest in digests:
        memory.find(digest)
    clock.now_s = 1_040.0
    given = [memory.take_ending(most=10) for _ in range(4)]
    assert [len(each) for each in given] == [10, 10, 5, 0]
    assert sorted(chain(*given)) == sorted(digests)


def test_a_renewed_session_is_believed_longer_and_drops_later(memory, clock):
    digests = [put(memory, name, session(number)) for number, name in enumerate("abc")]
    entry = memory.find(digests[0])
    clock.now_s = 1_040.0
    renewed = CheckedSession(person=entry.person, until_s=1_100.0)
    memory.renew(digests[0], renewed, began_s=time.monotonic())
    assert (entry.until_s, entry.live) == (1_100.0, True)
    put(memory, "d", session(9))
    assert memory.find(digests[1]) is None
    assert memory.find(digests[0]) is entry
    clock.now_s = 1_080.0
    assert memory.take_ending(most=10) == [digests[0]]


def test_what_postgresql_said_before_a_change_renews_nothing(memory):
    began_s = time.monotonic()
    old = session(1)
    digest = put(memory, "a", old)
    memory.forget_user(1)
    new = session(1)
    put(memory, "a", new)
    for said in (old, CheckedSession(person=new.person, until_s=2_000.0)):
        memory.renew(digest, said, began_s=began_s)
        entry = memory.find(digest)
        assert (entry.person, entry.until_s) == (new.person, 1_060.0)


def test_nothing_is_kept_of_what_is_gone(memory, clock):
    for number in range(100):
        put(memory, str(number), session(number))
        memory.forget_user(number - 1)
    assert sum(map(len, memory._looks.values())) == len(memory)
    memory.distrust()
    assert not memory._looks


@pytest.fixture
def passwords(clock: Clock) -> RememberedPasswords:
    remembered = RememberedPasswords(seconds=60, most=2, clock=clock)
    remembered.remember(key="ann", user_id=1, encoded="e", password="p", token="t")
    return remembered


def test_a_password_is_known_for_its_time_and_encoding(passwords, clock):
    assert passwords.knows(key="ann", encoded="e", password="p")
    opened = passwords.opened(key="ann", password="p")
    assert (opened.token, opened.token_hash) == ("t", token_hash("t"))
    assert passwords.left_s("ann", opened) == 60
    assert not passwords.knows(key="ann", encoded="e", password="P")
    assert not passwords.knows(key="ann", encoded="E", password="p")
    assert not passwords.knows(key="bob", encoded="e", password="p")
    assert passwords.opened(key="ann", password="P") is None
    clock.now_s += 60
    assert not passwords.knows(key="ann", encoded="e", password="p")
    assert passwords.opened(key="ann", password="p") is None


def test_a_password_that_is_verified_again_keeps_its_session(passwords, clock):
    clock.now_s += 50
    before = passwords.opened(key="ann", password="p")
    passwords.remember(key="ann", user_id=1, encoded="e", password="p")
    opened = passwords.opened(key="ann", password="p")
    assert (opened.token, passwords.left_s("ann", opened)) == ("t", 60)
    assert passwords.left_s("ann", before) == 0
    passwords.remember(key="ann", user_id=1, encoded="e", password="another")
    assert passwords.opened(key="ann", password="another") is None


def test_a_password_is_forgotten(passwords):
    passwords.forget(2)
    passwords.forget_key("bob")
    assert passwords.opened(key="ann", password="p")
    passwords.forget(1)
    assert not passwords.opened(key="ann", password="p")
    passwords.remember(key="ann", user_id=1, encoded="e", password="p")
    passwords.forget_key("ann")
    assert not passwords.knows(key="ann", encoded="e", password="p")


def test_passwords_are_bounded(passwords):
    for name in ("bob", "eve"):
        passwords.remember(key=name, user_id=len(name), encoded="e", password="p")
    assert not passwords.knows(key="ann", encoded="e", password="p")
    assert passwords.knows(key="eve", encoded="e", password="p")


def test_no_password_is_kept(passwords):
    assert "'p'" not in repr(vars(passwords))


def test_it_is_off_by_setting(clock):
    remembered = RememberedPasswords(seconds=0, clock=clock)
    remembered.remember(key="ann", user_id=1, encoded="e", password="p", token="t")
    assert not remembered.knows(key="ann", encoded="e", password="p")
