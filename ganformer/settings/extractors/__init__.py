"""Settings of the networks in `ganformer/metrics/extractors`."""
