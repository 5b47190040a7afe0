"""Command line: it parses, calls one function and exits; nothing else does.

Modules that import torch are imported by the commands that need it, so that tables and figures are made without it.
"""

from ganformer.cli.application import app, main
from ganformer.cli.common import RENAMED

__all__ = ["RENAMED", "app", "main"]
