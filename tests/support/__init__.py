"""Real parts for the tests: a mosquitto, a pseudo-terminal, a receiver, a clock that is set by hand."""
