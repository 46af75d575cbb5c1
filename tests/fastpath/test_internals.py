"""The names of uvicorn's protocol that the fast path leans on: an upgrade that moves one fails."""

import inspect

import pytest
from uvicorn.protocols.http import httptools_impl
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.server import Server, ServerState

from runtime.http.protocol import FastPathProtocol

Base = httptools_impl.HttpToolsProtocol
OVERRIDDEN = {
    "__init__": ["self", "config", "server_state", "app_state", "_loop"],
    "connection_lost": ["self", "exc"],
    "data_received": ["self", "data"],
    "eof_received": ["self"],
    "on_body": ["self", "body"],
    "on_header": ["self", "name", "value"],
    "on_headers_complete": ["self"],
    "on_message_begin": ["self"],
    "on_message_complete": ["self"],
    "on_response_complete": ["self"],
    "pause_writing": ["self"],
    "resume_writing": ["self"],
    "shutdown": ["self"],
    "_start_asgi_task": ["self", "cycle", "app"],
}
# Methods that stay the base class's and that the fast path calls or must keep as they are.
KEPT = ["connection_made", "on_url", "_unsupported_upgrade_warning", "_unset_keepalive_if_required"]


@pytest.mark.parametrize(("name", "parameters"), OVERRIDDEN.items())
def test_each_overridden_method_exists_as_it_did(name, parameters):
    assert list(inspect.signature(getattr(Base, name)).parameters) == parameters
    assert list(inspect.signature(getattr(FastPathProtocol, name)).parameters) == parameters


def test_no_other_method_is_overridden():
    ours = {name for cls in FastPathProtocol.__mro__[:2] for name in vars(cls)}
    theirs = {name for name in vars(Base) if callable(getattr(Base, name))}
    assert ours & theirs == set(OVERRIDDEN)


def test_the_kept_methods_exist():
    assert [name for name in KEPT if not hasattr(Base, name)] == []


def test_the_cycle_calls_back_and_has_the_fields_that_are_read():
    parameters = inspect.signature(httptools_impl.RequestResponseCycle).parameters
    assert {"on_response", "message_event", "keep_alive"} <= set(parameters)
    source = inspect.getsource(httptools_impl.RequestResponseCycle.__init__)
    for field in ("disconnected", "response_started", "response_complete", "keep_alive"):
        assert f"self.{field}" in source


def test_the_server_offers_what_is_used():
    state = ServerState()
    assert {"connections", "tasks", "total_requests", "default_headers"} <= set(vars(state))
    assert "connection.shutdown()" in inspect.getsource(Server.shutdown)
    assert "default_headers = " in inspect.getsource(Server.on_tick)
    for name in ("pause_reading", "resume_reading", "pause_writing", "resume_writing"):
        assert hasattr(FlowControl, name)
    assert 200 in httptools_impl.STATUS_LINE
