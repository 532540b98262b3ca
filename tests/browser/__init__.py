"""The status page of the real agent in Debian's Chromium."""
