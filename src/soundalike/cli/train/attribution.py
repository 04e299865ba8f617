"""`soundalike train attribution`."""

from __future__ import annotations

from pathlib import Path

from soundalike.cli.arguments import GIVEN_PATH, argument, json_option, option
from soundalike.cli.commands import command
from soundalike.cli.output import print_json
from soundalike.cli.reports import print_report

__all__ = ["attribution"]


@command("attribution")
@argument("model", metavar="MODEL", help="Name or folder of a model.")
@option("--plot", type=GIVEN_PATH, metavar="FILE", help="Draw it: .png, .svg or .pdf (needs soundalike[plot]).")
@option("--save", type=GIVEN_PATH, metavar="DIR", help="Write the report to DIR/<protocol>-<model>.json.")
@json_option()
def attribution(model: str, plot: Path | None, save: Path | None, as_json: bool) -> int:
    """Show which parts of a backbone's features the heads of a model use, by the weights of their first layers.

    \b
      soundalike train attribution mine --plot layers.png
    """
    from soundalike.evaluate import attribute_model, draw_attribution, reports

    if plot:
        reports.check_plot(plot)
    report = attribute_model(model)
    if plot:
        draw_attribution(report, plot)
    if save:
        reports.save_reports([report], save)
    if as_json:
        print_json(reports.to_json(report))
    else:
        print_report(report)
    return 0
