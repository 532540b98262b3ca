"""`python -m agent` is the command `bellcrank`."""

from agent.cli import main

if __name__ == "__main__":
    main(prog_name="bellcrank")
