"""`python -m ganformer` is the command `ganformer`."""

from ganformer.cli import main

main()
