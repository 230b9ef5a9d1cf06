"""The Prefect server of all tests of flows."""

from tests.support.prefect_server import server

__all__ = ("server",)
