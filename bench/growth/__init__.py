"""How cost grows with its cause: `python -m bench.growth`.

judgement     what may grow, and how fast: pure
agent         the real agent on a configuration, and what it costs
surroundings  what it stands between: a broker, who publishes, a receiver
causes        sensors, rules, webhooks, waiting: real agents, one for each point
ages          history: a pipeline and an outbox in one process, on which 30 days pass in simulated time
document      the table and the plots of docs/growth.md
"""
