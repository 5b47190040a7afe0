"""Checkouts of the workflow, empty and finished."""

from pathlib import Path

import pytest

from tests.workflow import warm
from tests.workflow.checkouts import Checkout


def pytest_collection_modifyitems(items):
    """Mark all tests of this folder and run them first, so that no worker of pytest-xdist waits for them in the end.

    The hook gets items of all folders.
    """
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.workflow)
            item.add_marker(pytest.mark.slow)
    items.sort(key=lambda item: item.get_closest_marker("workflow") is None)


@pytest.fixture(scope="session")
def warmed(tmp_path_factory):
    """Provide environment in which commands of jobs run in processes that have imported torch already."""
    with warm.server(tmp_path_factory.mktemp("warm")) as environment:
        yield environment


@pytest.fixture
def checkout(tmp_path, warmed):
    return Checkout(tmp_path, warmed)


@pytest.fixture(scope="session")
def finished(tmp_path_factory, warmed):
    """Provide a checkout in which the smallest configuration has run; tests leave it as it is."""
    made = Checkout(tmp_path_factory.mktemp("finished"), warmed)
    made.said = made.smoke()
    assert made.said.returncode == 0, made.said.stdout
    return made
