"""The pipeline by the clock: a process that waits for a Prefect server to say that it is time."""

import os
from collections.abc import Callable

from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.pipeline import pipeline
from flows.prefect_server import LOCAL_API, answers, api_url
from tasks.errors import PipelineError


def serve_schedule(project_name: str, cron: str, say: Callable[[str], object]) -> None:
    """Run the pipeline whenever a cron schedule says so, until this process is interrupted.

    Raises:
        PipelineError: No server answers; a temporary one starts no schedules.
    """
    url = require_server()
    say(f"Deployment fuseline/{project_name}: runs at '{cron}', one run at a time.")
    say(f"Its runs show at {url.removesuffix('/api')}; stop with Ctrl-C.")
    os.environ["PREFECT_API_URL"] = url  # the process of each run must find it too
    with temporary_settings({PREFECT_API_URL: url}):
        pipeline.serve(name=project_name, cron=cron, limit=1)


def require_server() -> str:
    """Return the address of a server that answers.

    Raises:
        PipelineError: None does.
    """
    url = api_url() or LOCAL_API
    if not answers(url):
        raise PipelineError(
            f"no Prefect server answers at {url}, and schedules need one; run "
            "`prefect server start` in another terminal"
        )
    return url
