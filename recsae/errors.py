"""What a job says to people in one sentence and ends with. It knows nothing of what went wrong elsewhere."""

from recsae.text.redaction import redact_uri


class BadInput(Exception):
    """Something the user gave cannot be used. The message is one sentence that names the file, column, row or key,
    and says how to mend it; a job prints it and exits with status 2. URIs in it lose their credentials."""

    def __init__(self, sentence: str) -> None:
        super().__init__(redact_uri(sentence))


class NotServed(Exception):
    """A night was made and did not pass its gate, so what was served stays. The message is one sentence that names each
    figure and the key that it missed; a job prints it and exits with status 3."""
