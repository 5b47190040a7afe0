"""Settings of the models in `ganformer/models`."""
