"""Why a night stopped that was asked for rightly. It knows nothing of how that is shown."""


class NightStopped(Exception):
    """A stage failed, or the job server could not be reached for long. The message is one sentence; a job prints it
    and exits with status 1."""
