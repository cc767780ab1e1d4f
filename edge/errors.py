"""What goes wrong because of what the user gave: one line, exit status 2, never a traceback."""


class UserError(Exception):
    """Bad input: the message is one line that names the thing, what was expected and what was found."""
