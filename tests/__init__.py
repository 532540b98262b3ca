"""The suite; `tests/support` holds the real parts that it works with."""
