"""The commands' one exception, for what their user can mend. `cli.py` prints it and exits with 2."""


class CommandError(Exception):
    """A command cannot run; the message is one sentence that says why and what helps."""
