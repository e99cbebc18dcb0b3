"""The one exception that people see. It knows nothing of what went wrong elsewhere."""


class BadInput(Exception):
    """Something the user gave cannot be used. The message is one sentence that names the file, column, row or key,
    and says how to mend it; a job prints it and exits with status 2."""
