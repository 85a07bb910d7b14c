"""Our own routes at length, for the user, for strangers and before a login: `make campaign NAME=routes`."""

import pytest

from tests.test_routes import ROUTES, furnished, hold  # noqa: F401  # a fixture; the other file

TIMES = 1_000  # requests to each route for each of them
DOORS = {"user": {}, "stranger": {"host": "0.0.0.0", "open": True}, "login": {"host": "0.0.0.0", "auth": "a:b"}}


@pytest.mark.campaign
@pytest.mark.parametrize("door", DOORS)
def test_routes(furnished, tmp_path, door):  # noqa: F811
    good = {path: hold(furnished, tmp_path, path, TIMES, **DOORS[door]) for path in ROUTES}
    print(f"{door}: {TIMES * len(ROUTES)} requests, every answer as described; given: {good}")
