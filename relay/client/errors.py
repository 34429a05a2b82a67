"""What calls of a client raise."""

from relay.api.problem import Problem


class ClientError(Exception):
    """Base of all: the call was not answered as it should be."""


class UnreachableError(ClientError):
    """No answer came, or one that makes no sense. What was asked may have been done: ask with the same key again."""


class ProblemError(ClientError):
    """The relay refused, or failed, and said why."""

    def __init__(self, problem: Problem) -> None:
        where = "".join(f"; {fault.pointer or 'body'}: {fault.detail}" for fault in problem.errors)
        super().__init__(f"{problem.code} ({problem.number}): {problem.detail}{where}")
        self.problem = problem

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self.problem.status

    @property
    def code(self) -> str:
        """What went wrong, for programs."""
        return self.problem.code

    @property
    def number(self) -> int:
        """The same as a number."""
        return self.problem.number

    @property
    def detail(self) -> str:
        """What went wrong, for people."""
        return self.problem.detail
