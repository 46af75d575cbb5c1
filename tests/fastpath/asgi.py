"""The small application under gunicorn: `tests.fastpath.asgi:application`."""

from tests.fastpath.app import App, table

application = App(table())
