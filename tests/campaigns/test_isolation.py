"""Every handler, name and file of one guest, tried by another: `make campaign NAME=isolation`."""

import pytest

from tests.test_isolation import ann, bob, csrf, estate, opened, raid  # noqa: F401  # fixtures; the other file

LEAST = 10_000


@pytest.mark.campaign
def test_isolation(opened, ann, bob, estate):  # noqa: F811
    report = raid(opened, ann, bob, estate, None)
    assert int(report.split()[0]) >= LEAST, report
    print(report)
    csrf(opened, ann, estate, 500)
    print("500 state changes from foreign origins: 500 refused, nothing changed")
