"""The OpenAPI schema is complete, and its page needs no internet."""

import io

from django.core.management import call_command
from drf_spectacular.drainage import GENERATOR_STATS


def test_generator_has_nothing_to_complain_about():
    GENERATOR_STATS.reset()
    call_command("spectacular", "--validate", "--fail-on-warn", stdout=io.StringIO())
    assert not GENERATOR_STATS
