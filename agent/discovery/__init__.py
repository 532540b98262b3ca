"""What is there to be read: topics of a broker and serial ports, with the fields seen, and the YAML for them.

Pure: `seen` (fields, kinds and rates of what arrived), `homeassistant` (names and units from its discovery topics),
`suggest` (sources as YAML). With I/O: `listening`.
"""
