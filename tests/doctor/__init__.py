"""`bellcrank doctor`."""
