"""Faults on the whole agent, with an oracle that counts. The suite runs short ones; each is a program too."""
