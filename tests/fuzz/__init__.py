"""Bytes from outside, as hostile as they come: `python -m tests.fuzz NAME --inputs N`, guided by coverage (atheris).

`targets` are the functions that take them. The suite runs each on its seeds and on some thousand changes of them.
"""
