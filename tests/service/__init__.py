"""The service on a booted systemd: `scripts/prove-service`, a command of its own, outside the suite."""
