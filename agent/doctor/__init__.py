"""`bellcrank doctor`: what may be the matter, and what to do about it, without disturbing an agent that runs.

`patient` is what there is to examine; each subject measures facts and, apart from that, judges them as `finding`s;
`examination` runs all at the same time.

configuration    the file, its secrets, the state directory, the agent
broker           with `guest` (a visit by MQTT) and `mosquitto` (what its file says)
serial           ports
receivers        of webhooks
disk clock memory versions

Beneath them `reach` (name, TCP, TLS) and `processes` (/proc).
"""

from agent.doctor.examination import SUBJECTS, examine
from agent.doctor.finding import Finding, Verdict, counted, exit_code
from agent.doctor.patient import Patient, admit

__all__ = ["SUBJECTS", "Finding", "Patient", "Verdict", "admit", "counted", "examine", "exit_code"]
