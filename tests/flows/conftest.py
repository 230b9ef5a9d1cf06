"""The Prefect server of all tests of flows."""

from tests.flows.prefect_server import server

__all__ = ("server",)
