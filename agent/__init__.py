"""bellcrank: sensor readings in, signed webhooks out, and none lost. This is the map of the house.

Three lists in the configuration, three stages, three types:

    sources:   ->  Reading    what a sensor said          drivers/
    rules:     ->  Event      what there is to tell       agent/rules/
    webhooks:  ->  Delivery   who is still owed it        agent/outbox/, agent/webhooks/

The way of a reading: a driver (`drivers.mqtt`, `serial`, `http`, `simulated`) yields a batch of messages; `supervise`
hands it to the one `pipeline`, whose `round` puts it through the rules' `engine` and gathers what came of it in a
`Draft` of the `outbox`; it commits once, and only then lets the driver go on, which acknowledges. The commit
hands the new deliveries to the webhooks' mailboxes, from which each `webhooks.courier` takes what is due,
sends it, and gives back a mark that rides in the next commit.

The floors, from the ground; a file imports only from floors below its own:

    drivers/                    the ground: imports nothing of agent/; signing, for both directions
    version service model       facts, where a service has its things, and the types that flow
    clock                       the only caller of time.*
    templates                   texts with {placeholders}
    systemd tasks               tells the service manager how it stands; tasks that may not end by themselves
    network                     tells when the network comes back
    notices                     pure: what the agent tells about itself, and the events that are made of it
    rules/                      pure: conditions, the state machine, the engine
    rules/directory             which rules may be about a sensor, by their patterns
    webhooks/                   pure: config, what is sent (envelope, bodies, presets/, headers, writer), retry,
                                breaker, tally
    outbox/                     SQLite: what waits for a commit, committing, mending, sweeping, telling of losses,
                                mailboxes and their lanes, the intake ledger, letters
    yamlhints yamlfile          what people did where a text is no YAML; YAML as plain values, each with its place
    secretfiles                 `!secret` and the other tags
    config/                     YAML -> Config, errors with line and column
    control_socket reload       where the command line finds the agent; what of a changed file applies at once
    round                       what the feeds have brought, put through the rules, with its commit in the making
    counts                      what came and what was told since the start
    pipeline                    all feeds -> rules -> one commit -> acknowledge
    webhooks/connections        to one receiver, kept alive
    webhooks/transport          one POST
    webhooks/trial              one test event
    webhooks/courier heartbeat  deliver what is owed; say at intervals that the agent lives
    status/                     snapshot, commands, history, api/ (JSON), page/ (HTML, live), metrics, control socket;
                                `front` opens all of it beside the feeds
    supervise parts observe     keep feeds open; feeds and couriers that come and go; gather what there is to see
    app                         puts the parts together, and ends them in order
    listen verify demo          the people's side
    logs cli                    and the commands
    control_client              how the command line asks the agent
    recording overhear replay discovery   what arrives, and what the rules would make of it
    doctor/                     what may be the matter: subjects that measure, then judge
    starter effective schema    a first configuration, the effective one, its JSON Schema
    install/                    the service on a machine: install, update, go back, uninstall

`pipeline`, `webhooks.courier` and `status` never import one another; `app` introduces them.
"""
