"""Settings of what is in `ganformer/analysis/parsers`."""
