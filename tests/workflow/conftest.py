"""Checkouts of the workflow, empty and finished."""

import pytest

from tests.workflow import warm
from tests.workflow.checkouts import Checkout


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
