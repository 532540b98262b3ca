"""Measures the agent beside what people use today, in one run: `python -m bench`.

Figures travel as ratios only.
"""
