"""Archives: what is unpacked, and that nothing in them can reach outside the target folder."""

import pytest

from ganformer.data.extraction import unsafe


@pytest.mark.parametrize("name", ["a.png", "a/b.png", "./a.png", "a/", ".", "a..b/..c", "ä/é 1.png", "C", "12:30"])
def test_names_that_are_fine(name):
    assert unsafe(name) is None


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "has no name"),
        ("a\0b", "its name has a NUL in it"),
        ("a\\b.png", "its name has a backslash"),
        ("..\\b.png", "its name has a backslash"),
        ("/etc/passwd", "its name is an absolute path"),
        ("//host/share", "its name is an absolute path"),
        ("C:/b.png", "its name begins with a drive"),
        ("c:b.png", "its name begins with a drive"),
        ("..", "its name leads out of the folder (..)"),
        ("../b.png", "its name leads out of the folder (..)"),
        ("a/../../b.png", "its name leads out of the folder (..)"),
        ("a/..", "its name leads out of the folder (..)"),
    ],
)
def test_names_that_are_not(name, reason):
    assert unsafe(name) == reason
