"""Programs that tests start. What they print goes to a file: nobody has to read it for them to go on."""

import os
import subprocess

LIMIT = 100.0
"""Seconds after which a program that has not ended is killed."""


class Program:
    """A ``command`` that runs beside the test, with more in its environment and its ``output`` in a file."""

    def __init__(self, command, output, **environment):
        self.output = output
        with output.open("w") as file:
            self.process = subprocess.Popen(
                list(map(str, command)),
                env=os.environ | environment,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
            )

    @property
    def text(self):
        """What it has printed up to now."""
        return self.output.read_text()

    def runs(self):
        return self.process.poll() is None

    def end(self, limit=LIMIT):
        """Its exit status, once it has come to its end."""
        try:
            return self.process.wait(limit)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"no end after {limit:g} s; it had printed\n{self.text}") from None

    def kill(self):
        self.process.kill()
        self.process.wait()
