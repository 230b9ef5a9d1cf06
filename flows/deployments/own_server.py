"""A password for the server that Prefect starts on 127.0.0.1 where none is named.

Any user of the machine can reach it.
"""

import os
import secrets
from typing import Final

_STARTS_WITHIN_S: Final = "120"  # a machine at work takes longer than Prefect's 20 s


def guard_own_server() -> None:
    """Set a new password for the server that Prefect would start here, and for its clients here;
    and let it take its time to start.

    It lives in the environment of this process and of those that it starts, nowhere else. A server
    that is named is guarded by its keeper.
    """
    from prefect.context import refresh_global_settings_context
    from prefect.settings import get_current_settings

    settings = get_current_settings()
    if settings.api.url or settings.server.api.auth_string:
        return
    os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", _STARTS_WITHIN_S)
    password = f"obbligato:{secrets.token_urlsafe(32)}"
    os.environ.update(PREFECT_SERVER_API_AUTH_STRING=password, PREFECT_API_AUTH_STRING=password)
    refresh_global_settings_context()
