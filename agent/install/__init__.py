"""`bellcrank install` and `uninstall`, which scripts/install runs too: a machine gets the service, or loses it.

    wish        what a person asks for
    source      where the version to install is: a checkout, a wheel, or the installation that runs this
    facts       what there is on this machine; changes nothing
    refusals    pure: why it cannot be done here, in plain words
    steps       the steps that more than one plan has
    plan        pure: facts and wish -> steps, also those that take all back
    removal     pure: the steps of `uninstall`
    runner      the only one that changes anything: runs steps, or prints them
    command     the words of the command line

Each step is one command that a person could type too, so what `--dry-run` prints is what is done. Three of them are
programs of a release: `ready` waits until an agent is, `outbox` keeps and puts back what is owed, `pack` makes a wheel.

All but `outbox` runs with the standard library alone, since scripts/install begins with the system's Python.
"""
