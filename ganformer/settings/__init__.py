"""Settings of parts that need torch, in files without it: planning reads them, and torch alone takes longer to import.

A part that has no file here has its `Config` beside its code.
"""
