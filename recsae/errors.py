"""What a job says to people in one sentence and ends with. It knows nothing of what went wrong elsewhere."""


class BadInput(Exception):
    """Something the user gave cannot be used. The message is one sentence that names the file, column, row or key,
    and says how to mend it; a job prints it and exits with status 2."""


class NotServed(Exception):
    """A night was made and did not pass its gate, so what was served stays. The message is one sentence that names each
    figure and the key that it missed; a job prints it and exits with status 3."""
