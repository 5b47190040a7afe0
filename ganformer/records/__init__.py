"""Types of the files that one program writes and another reads: a module for each kind of file.

Each type has its version (`FORMAT`), its checks, and the only reader and writer of its files.
"""
