"""What `lr-batch noise-scale` prints and draws."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from runs.noise.figures import noise_scale
from runs.noise.run import stored
from runs.text import Printer, table

HEADINGS = {
    "window": "B_simple",
    "curved": "B_noise",
    "sign": "sign",
    "spectral": "spectral",
}
HOW_FAR = (
    "A noise scale predicts the critical batch size, it does not measure it: published ones are 2 to 8 times what was "
    "measured (McCandlish et al., 2018), and it belongs to this batch size and learning rate. lr-batch curve measures."
)


def write_outcome(folder: Path) -> dict[str, Any]:
    """Draws what the folder holds, and returns its summary."""
    summary = stored(folder)
    from runs.noise.report import write_report

    noise_scale(summary, folder / "noise_scale.png")
    write_report(summary, folder)
    return summary


def print_noise(summary: Mapping[str, Any], stream: IO[str]) -> None:
    """One row per window, then the scale over the whole training and how far to trust it."""
    say = Printer(stream)
    setting = ", ".join(f"{name} {value:g}" for name, value in summary["hparams"].items())
    say(
        f"\n{summary['workload']} with {summary['optimizer']}, batch size {summary['batch_size']}, {setting}, seed "
        f"{summary['seed']}; noise scales in examples, {summary['level']:.0%} intervals"
    )
    metric = summary["goal"].split()[0]
    rows = [
        (f"{p['step']:,}", f"{p['metric']:.3g}", *(scale_text(p[name]) for name in HEADINGS))
        for p in summary["points"]
    ]
    say(table(("until", metric, *HEADINGS.values()), rows))
    end = f"{summary['goal']} reached" if summary["reached"] else f"{summary['goal']} not reached"
    say(f"B_simple over all steps: {scale_text(summary['mean_simple'])}; {end}. {HOW_FAR}")


def scale_text(scale: Mapping[str, Any] | None) -> str:
    """`86 (59 to 217)`; null, where JSON has no number, is an infinite scale."""
    if scale is None:
        return "none"
    best, low, high = (_number(scale[part]) for part in ("best", "low", "high"))
    return f"{best} ({low} to {high})"


def _number(value: float | None) -> str:
    return "infinite" if value is None else f"{float(f'{value:.3g}'):,g}"
