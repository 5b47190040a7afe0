"""Built-in scenes of coloured objects, rendered on this machine; see `ganformer.scenes`."""

from ganformer.scenes.source import Config, open_source

__all__ = ["Config", "open_source"]
