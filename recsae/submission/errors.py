"""The error that stops a night of submitted jobs."""

PASSED_ON = (2, 3)
"""Of a job's exit statuses those that another try would not change."""


class NightStopped(Exception):
    """A stage failed, or the job server could not be reached for long. The message is one sentence; a job prints it
    and exits with `status`: that of a stage that ended with bad input (2) or was not served (3), and else 1."""

    def __init__(self, sentence: str, status: int | None = None) -> None:
        super().__init__(sentence)
        self.status = status if status in PASSED_ON else 1
