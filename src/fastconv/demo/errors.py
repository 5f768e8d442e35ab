"""The demo's one exception, for what its user can mend. ``fastconv demo`` prints it and exits with 2."""


class DemoError(Exception):
    """The demo cannot run; the message is one sentence that says why and what helps."""
