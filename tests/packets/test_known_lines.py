"""Lines that need no reading again."""

from accounts.packets.known_lines import KnownLine, KnownLines


def known(answer: bytes = b"yes", *, holds: bool = True) -> KnownLine:
    return KnownLine("VALIDATE", answer, lambda: holds)


def test_a_line_is_known_while_its_answer_holds() -> None:
    lines = KnownLines()
    assert lines.find(b"a") is None
    lines.remember(b"a", known())
    lines.remember(b"b", known(b"no", holds=False))
    found = lines.find(b"a")
    assert found is not None
    assert found.answer == b"yes"
    assert lines.find(b"b") is None
    assert lines.find(b"A") is None


def test_lines_are_kept_by_digest_and_bounded() -> None:
    lines = KnownLines(most=2)
    for line in (b"secret a", b"secret b"):
        lines.remember(line, known())
    assert b"secret" not in repr(lines._lines).encode()
    lines.remember(b"secret c", known())
    assert [lines.find(b"secret " + name) is not None for name in (b"a", b"b", b"c")] == [
        False,
        False,
        True,
    ]


def test_long_lines_are_read_every_time() -> None:
    lines = KnownLines()
    lines.remember(b"x" * 10_000, known())
    assert lines.find(b"x" * 10_000) is None
