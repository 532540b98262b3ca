"""Texts that devices and receivers can say, and that must stay texts wherever they are shown."""

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "{{ 7 * 7 }}",
    "{% include '/etc/passwd' %}",
    "'; DROP TABLE deliveries; --",
    "</td></tr></table>",
    "\u202etxt.exe",
    "javascript:alert(1)",
    "&lt;b&gt;",
    "\x1b[2J",
]
