"""Functions that only a child process can import."""

from typing import Any


def function_in(module: str, name: str) -> Any:
    """What stands for a function of a module that this process has not imported: a child knows it
    by module and name alone.
    """

    def nowhere(items: Any, context: Any) -> Any:
        raise AssertionError(f"{module}:{name} was called in this process")

    nowhere.__module__, nowhere.__qualname__ = module, name
    return nowhere
