"""The Prefect server of all tests of flows."""

from tests.support.servers.prefect_server import server

__all__ = ("server",)
