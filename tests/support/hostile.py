"""Names and values that try to be more than text: HTML, templates, paths, SQL, terminals, bidirectional text."""

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "{{ 7 * 7 }}",
    "{% include '/etc/passwd' %}",
    "'; DROP TABLE deliveries; --",
    "</td></tr></table></main>",
    "\u202etxt.exe\u2066",
    "javascript:alert(1)",
    "&lt;b&gt;",
    "\x1b[2J\x00\x07",
    "a/../../b?c=d#e",
    "%2e%2e%2f",
    "\u2028\ufeff",
    "x" * 5000,
]
