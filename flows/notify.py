"""Have Prefect report nights that went wrong: `python -m flows.notify URL`.

It posts `{"text": ...}` to the URL, as incoming webhooks of Slack, Mattermost, Google Chat and
others take it: when a catalog's run has failed rows or crashed, with their sentences, and when none
has ended for too long. Both automations are on the server's page under Automations; a second call
replaces them.
"""

import argparse
import sys
from collections.abc import Sequence
from datetime import timedelta

from prefect.automations import AutomationCore
from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.client.orchestration import get_client
from prefect.events.actions import SendNotification
from prefect.events.schemas.automations import EventTrigger, Posture
from prefect.settings import PREFECT_API_URL

from engine.troubles import told
from flows.program import check_permanent_server

_FLOW = "stylize-catalog"
_ENDED = {"prefect.flow-run.Completed", "prefect.flow-run.Failed"}
_WENT_WRONG = {"prefect.flow-run.Failed", "prefect.flow-run.Crashed"}
_LONGEST_SILENCE_HOURS = 26.0
_SENTENCE = """\
{% set message = flow_run.state.message or "" %}\
{% if message.startswith("Flow run encountered an exception: ") %}\
{{ message.split(": ", 2)[2] }}{% else %}{{ message }}{% endif %}"""
"""what a run failed with, without the name of the exception's class that Prefect puts before it"""


def notify(url: str, silence: timedelta) -> list[str]:
    """Make or replace the automations on the server.

    Args:
        url: Takes the messages.
        silence: After so long without a run that ended there is a message, too.

    Returns:
        The names of the automations.
    """
    block = CustomWebhookNotificationBlock(
        name="scenestyle",
        url=url,
        json_data={"text": "{{subject}}\n{{body}}"},
        headers=None,
        cookies=None,
    )
    webhook = block.save("scenestyle-nights", overwrite=True)
    of_the_flow = {"prefect.resource.role": "flow", "prefect.resource.name": _FLOW}
    runs = {"prefect.resource.id": "prefect.flow-run.*"}
    automations = [
        AutomationCore(
            name="scenestyle: a night failed",
            trigger=EventTrigger(
                expect=_WENT_WRONG,
                match=runs,  # pyright: ignore[reportArgumentType]
                match_related=of_the_flow,  # pyright: ignore[reportArgumentType]
                posture=Posture.Reactive,
                threshold=1,
            ),
            actions=[
                SendNotification(
                    block_document_id=webhook,  # pyright: ignore[reportArgumentType]
                    subject="{{ flow.name }} {{ flow_run.name }}: {{ flow_run.state.name }}",
                    body=_SENTENCE,
                )
            ],
        ),
        AutomationCore(
            name="scenestyle: no night ended",
            trigger=EventTrigger(
                expect=_ENDED,
                match=runs,  # pyright: ignore[reportArgumentType]
                match_related=of_the_flow,  # pyright: ignore[reportArgumentType]
                posture=Posture.Proactive,
                threshold=1,
                within=silence,
            ),
            actions=[
                SendNotification(
                    block_document_id=webhook,  # pyright: ignore[reportArgumentType]
                    subject=f"{_FLOW}: no run ended for {silence}",
                    body="Is the worker up? On its machine: scenestyle doctor",
                )
            ],
        ),
    ]
    with get_client(sync_client=True) as client:
        for automation in automations:
            for old in client.read_automations_by_name(automation.name):
                client.delete_automation(old.id)
            client.create_automation(automation)
    return [automation.name for automation in automations]


def main(argv: Sequence[str] | None = None) -> int:
    """Run as a program.

    Returns:
        The exit code: 1 after an error, which is then on stderr.
    """
    parser = argparse.ArgumentParser(prog="python -m flows.notify", description=__doc__)
    parser.add_argument("url", help="takes POST requests with {'text': ...}")
    parser.add_argument(
        "--silence", type=float, default=_LONGEST_SILENCE_HOURS, help="hours without a night"
    )
    options = parser.parse_args(argv)

    def program() -> None:
        check_permanent_server(PREFECT_API_URL.value())
        names = notify(options.url, timedelta(hours=options.silence))
        sys.stdout.writelines(f"{name}\n" for name in names)

    return told(program)


if __name__ == "__main__":
    raise SystemExit(main())
