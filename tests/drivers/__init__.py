"""The drivers and what they are made of, on real ports and real brokers."""
