"""Every case that the OpenAPI schema gives rise to; read by the drill only, since the reading alone
takes seconds.
"""

import pytest
import schemathesis
from hypothesis import settings

from tests.contract.test_schema import DOCUMENT, FEW, ask

pytestmark = [pytest.mark.drill, pytest.mark.xdist_group("contract")]
schema = schemathesis.openapi.from_dict(DOCUMENT)


@schema.parametrize()
@pytest.mark.parametrize("port", ["api"])
@settings(FEW, max_examples=100)
def test_every_endpoint_at_length(case, port, stack):
    ask(case, stack)
