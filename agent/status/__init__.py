"""The local status page, and the same as JSON: `snapshot` is what is shown, `server` shows it, `words` says it."""
