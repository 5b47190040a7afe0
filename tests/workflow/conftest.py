"""Checkouts of the workflow, empty and finished."""

import pytest

from tests.workflow.checkouts import Checkout


@pytest.fixture
def checkout(tmp_path):
    return Checkout(tmp_path)


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A checkout in which the smallest configuration has run; tests leave it as it is."""
    made = Checkout(tmp_path_factory.mktemp("finished"))
    made.said = made.smoke()
    assert made.said.returncode == 0, made.said.stdout
    return made
