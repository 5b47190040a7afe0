"""Generative Adversarial Transformers and everything they are compared with, as one reproducible graph."""

__version__ = "0.1.0"
