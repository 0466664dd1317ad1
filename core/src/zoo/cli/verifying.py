"""``zoo verify-plugin``: the conformance kit without pytest."""

from __future__ import annotations

import contextlib
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import Annotated

import typer

from zoo.cli import output
from zoo.cli.tables import Column, print_table
from zoo.errors import harmless
from zoo.testing import CHECKS, Report, Result, verify

LINES = 12  # printed lines of one message; --json has all
OUTCOMES = ("ok", "failed", "skipped")
WHAT = {check.name: check.what for check in CHECKS}


class Tier(StrEnum):
    """The keys of zoo.testing.TIERS, and the default."""

    default = "default"
    contract = "contract"
    model = "model"
    full = "full"


def verify_plugin(
    name: Annotated[str, typer.Argument(metavar="PLUGIN", help="The plugin, as `zoo doctor` names it.")],
    tier: Annotated[
        Tier,
        typer.Option(
            help="How much is checked; see above.",
            envvar="ZOO_TIER",
        ),
    ] = Tier.default,
    model: Annotated[
        list[str] | None,
        typer.Option(metavar="GLOB", help="Only check models that match."),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(metavar="N", help="Check at most N models, the smallest of each family first.")
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="Check with --tier full.")] = False,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Save results in zoo-verify-NAME.jsonl as they come, and continue from those in it. Failed checks "
            "run again.",
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> int:
    """Check that a plugin and its models follow the contract.

    Nothing is downloaded. Prints what is wrong, and what was skipped and why; the exit status is 1 if anything is
    wrong. zoo.testing.PluginConformance makes the same checks under pytest, on models as small as you say.

    \b
    --tier contract   check the manifest, without torch
    --tier default    also build and run one model of each family
    --tier model      build and run every model
    --tier full       also capture them by torch.compile and torch.export

    Examples:
        zoo verify-plugin acme
        zoo verify-plugin acme --model 'acme_*' --limit 20 --full --resume
    """
    with _progress() as on_result:
        report = verify(
            name,
            tier="full" if full else tier.value,
            models=model,
            limit=limit,
            resume=f"zoo-verify-{name}.jsonl" if resume else None,
            on_result=on_result,
        )
    if as_json:
        output.print_json(report.to_dict())
    else:
        _print(report)
    return int(not report.ok)


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[Result, int], None]]:
    """A bar on a terminal's stderr, which names the current model."""
    from tqdm import tqdm

    with tqdm(unit="check", disable=not output.on_terminal(sys.stderr), leave=False) as bar:

        def advance(result: Result, total: int) -> None:
            bar.total = total
            bar.set_postfix_str(result.model or "", refresh=False)
            bar.update()

        yield advance


def _print(report: Report) -> None:
    columns = [Column("check"), *(Column(title, number=True) for title in (*OUTCOMES, "seconds"))]
    rows = []
    for check in CHECKS:
        made = [result for result in report.results if result.check == check.name]
        counts = Counter[str](result.outcome for result in made)
        seconds = sum(result.seconds for result in made)
        if made:
            rows.append([check.name, *(str(counts[outcome]) for outcome in OUTCOMES), f"{seconds:.1f}"])
    print_table([*columns, Column("what it checks")], [[*row, WHAT[row[0]]] for row in rows])
    _print_together(report, "failed", "failed", "red")
    _print_together(report, "skipped", "skipped", "yellow")
    _print_together(report, "ok", "note", "cyan")
    verdict = output.paint("failed", "red", bold=True) if report.failed else output.paint("ok", "green", bold=True)
    version = f" {report.version}" if report.version else ""
    total = f", {len(report.results)} checks of the tier {report.tier}"
    total += f" on {report.models:,} of {report.offered:,} models" if report.models < report.offered else ""
    total += f"; {report.kept:,} results are of an earlier run" if report.kept else ""
    print()
    output.say(f"{report.plugin}{version}: ", verdict, total, sep="")


def _print_together(report: Report, outcome: str, title: str, colour: str) -> None:
    """A problem that several models share is printed once, with the message of the first."""
    sharing: dict[tuple[str, frozenset[str]], list[Result]] = {}
    for result in report.results:
        if result.outcome == outcome and result.message:
            sharing.setdefault((result.check, _kind(result)), []).append(result)
    for (check, _), alike in sharing.items():
        models = [result.model or report.plugin for result in alike]
        who = models[0] if len(models) == 1 else f"{len(models)} models"
        lines = alike[0].message.splitlines()
        text = "\n".join([*lines[:LINES], f"and {len(lines) - LINES} lines more"] if len(lines) > LINES else lines)
        if len(models) > 1 and outcome == "failed":
            text += f"\n({', '.join(models[:4])}{f' and {len(models) - 4} more' if len(models) > 4 else ''})"
        _print_one(output.paint(title, colour, bold=outcome == "failed"), who, check, text)


def _kind(result: Result) -> frozenset[str]:
    """A message without the names and numbers in it: equal for equal problems."""
    text = result.message.replace(result.model, "…") if result.model else result.message
    subject = re.compile(r"^[\w.\-]+(?=:? )", re.MULTILINE)  # the model or weights that a line is about
    return frozenset(re.sub(r"\d[\d,.]*", "#", subject.sub("…", text)).splitlines())


def _print_one(head: str, who: str, check: str, message: str) -> None:
    print()
    output.say(head, who, check, sep="  ")
    output.say(output.Painted("  " + harmless(message).replace("\n", "\n  ")))
