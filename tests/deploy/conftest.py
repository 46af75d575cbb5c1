"""One image tree and one migrated database for all tests of the deployment."""

import pytest

from tests.deploy import image
from tests.deploy.containers import Deployment
from tests.support.stores import Stores


@pytest.fixture(scope="package")
def tree(tmp_path_factory):
    """What the image holds, as a directory."""
    directory = tmp_path_factory.mktemp("image")
    image.build(directory)
    return directory


@pytest.fixture(scope="package")
def deployment(tree, tmp_path_factory):
    """The services of docker-compose.yml, none running, the migration done."""
    with Stores() as stores:
        services = Deployment(
            tree=tree, stores=stores, directory=tmp_path_factory.mktemp("deployment")
        )
        migrated = services.run("migrate")
        assert migrated.returncode == 0, migrated.stderr
        yield services
