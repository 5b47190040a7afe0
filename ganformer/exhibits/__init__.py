"""Kinds of tables and figures, one a file: its settings, forms, inputs and `draw`; found by file name."""
