"""How the text of a variable becomes a value."""

import pytest

from config import env


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("SECRET_KEY", "$a:b=c,d\\n", "$a:b=c,d\\n"),
        ("SECRET_KEY", "", ""),
        ("EXPIRY_INTERVAL_S", "1e-1", 0.1),
        ("EXPIRY_INTERVAL_S", " .5 ", 0.5),
        ("EXPIRY_INTERVAL_S", "", 5.0),
        ("PORT", " 8080 ", 8080),
        ("DEBUG", " Yes", True),
        ("DEBUG", "off", False),
        ("INGEST_API_KEYS", "alpha, beta ,,", ["alpha", "beta"]),
        ("TRUSTED_PROXIES", "10.0.0.0/8, fd00::1", ["10.0.0.0/8", "fd00::1"]),
    ],
)
def test_a_value_is_what_was_written(monkeypatch, name, text, value):
    monkeypatch.setenv(name, text)
    assert env.value(name) == value
    env.check()


def test_all_defaults_are_values_of_their_own(monkeypatch):
    for variable in env.VARIABLES.values():
        monkeypatch.delenv(variable.name, raising=False)
        assert isinstance(variable.default, variable.cast)
        assert variable.can_be(variable.default)


def test_a_name_that_nobody_declared_is_a_mistake():
    with pytest.raises(KeyError):
        env.value("NO_SUCH_VARIABLE")
