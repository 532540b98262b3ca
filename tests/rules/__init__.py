"""The rules: tables, sentences, and a naive model that must always agree."""
