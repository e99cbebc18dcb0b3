"""The error that stops a night of submitted jobs."""

FINAL_STATUSES = (2, 3)
"""Exit statuses of a job that a retry would not change."""


class NightStopped(Exception):
    """Raised when a stage fails or the job server stays unreachable. The message is one sentence; the command prints it
    and exits with `status`: the stage's own for bad input (2) or a refused night (3), otherwise 1."""

    def __init__(self, sentence: str, status: int | None = None) -> None:
        super().__init__(sentence)
        self.status = status if status in FINAL_STATUSES else 1
