"""A benchmark as text on a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO, Any

from rich.table import Table

from runs.text import Printer, add_row, table

NAMES = {"serial": "idiomatic loop", "torch": "PyTorch loop", "pool": "pool of idiomatic loops"}
PROTOCOLS = {"unraced": "no race", "raced": "raced", "oracle": "oracle race"}
SPLIT = ("compile", "gather", "gradient", "update", "step_rest", "evaluation", "dispatch", "store", "rest")


def print_bench(report: Mapping[str, Any], stream: IO[str]) -> None:
    """Peers, batch sizes, where the time goes, and how the numbers were made."""
    say = Printer(stream)
    work, machine = report["work"], report["machine"]
    say(
        f"\n{work['workload']} with {work['optimizer']}: {report['trials']:,} trials; "
        f"{machine['processor']}, {machine['cores']} cores, {machine['device']}, "
        f"JAX {machine['versions']['jax']}"
    )
    say(peers_table(report))
    say(sizes_table(report))
    if "waiting" in report["batch_sizes"][0]:  # not in a report of an earlier version
        say(split_table(report))
    for line in remarks(report):
        say(line)


def peers_table(report: Mapping[str, Any]) -> Table:
    """Seconds of the whole study and how many times those of the engine's cold run."""
    made = table(("", "seconds", "interval", "times engine, cold", "times engine, warm"), left=1)
    engine = report["engine"]
    for name, key in (
        ("engine, cold start", "cold"),
        ("engine, second start", "second_start"),
        ("engine, warm", "warm"),
    ):
        value = engine[key]
        add_row(made, (name, f"{value['median']:.2f}", f"{value['low']:.2f} - {value['high']:.2f}", "", ""))
    for peer, measured in report["peers"].items():
        for protocol in filter(measured.__contains__, PROTOCOLS):
            value = measured[protocol]
            row = (
                f"{NAMES[peer]}, {PROTOCOLS[protocol]}",
                f"{value['seconds']:,.0f}",
                f"{value['low']:,.0f} - {value['high']:,.0f}",
                times(value["times_engine_cold"]),
                times(value["times_engine_warm"]),
            )
            add_row(made, row)
    for peer, reason in report["absent"].items():
        add_row(made, (NAMES[peer], "-", reason, "", ""))
    return made


def times(ratio: Mapping[str, float]) -> str:
    return f"{ratio['median']:,.1f} ({ratio['low']:,.1f} - {ratio['high']:,.1f})"


def sizes_table(report: Mapping[str, Any]) -> Table:
    """What a step takes and its share of the bound, batch size by batch size."""
    rows = []
    for row in report["batch_sizes"]:
        milliseconds = [
            row["step"],
            row["gather"],
            row["gather_and_gradient"] - row["gather"],
            row["update"],
            row["evaluation"],
            row["bound"],
        ]
        cells = (
            f"{row['batch_size']:,}",
            *(f"{1e3 * value:.3g}" for value in milliseconds),
            f"{row['bound_gflops_per_core']:.1f}",
            f"{row['share_of_bound']:.0%}",
            f"{row['times_single_lane']:.2g}",
        )
        rows.append(cells)
    headings = (
        "step ms",
        "gather",
        "gradient",
        "update",
        "eval ms",
        "bound ms",
        "GFLOP/s",
        "of bound",
        "x one lane",
    )
    return table(("batch", *headings), rows)


def split_table(report: Mapping[str, Any]) -> Table:
    """Where the core-seconds of the chunks of each batch size go."""
    rows = []
    for row in report["batch_sizes"]:
        seconds = [row["seconds"], row["training"], row["evaluating"], row["waiting"]]
        share = row["evaluating"] / (row["training"] + row["evaluating"])
        rows.append((f"{row['batch_size']:,}", *(f"{value:,.2f}" for value in seconds), f"{share:.0%}"))
    headings = ("core-seconds", "training", "evaluating", "waiting and rest", "evaluating of both")
    return table(("batch", *headings), rows)


def remarks(report: Mapping[str, Any]) -> list[str]:
    """Everything that the tables leave out, a line each."""
    split, memory, hours = report["split"], report["memory"], report["published_trials"]
    shares = ", ".join(
        f"{name.replace('_', ' ')} {split[name] / split['core_seconds']:.1%}" for name in SPLIT
    )
    projected = ", ".join(
        f"{name.removesuffix('_hours').replace('_', ' ')} {value:,.1f}"
        for name, value in hours.items()
        if name.endswith("_hours")
    )
    return [
        f"engine, cold, {split['core_seconds']:.1f} core-seconds: {shares}",
        products_line(report),
        f"memory of a chunk of {memory['width']} lanes: {memory['estimated_bytes'] / 1e6:.1f} MB estimated, "
        f"{memory['planned_bytes'] / 1e6:.1f} MB planned by the compiler; "
        f"data {memory['data_bytes'] / 1e6:.1f} MB; whole process, with Python, JAX and its compiler, "
        f"{report['engine']['peak_process_bytes'] / 1e6:.0f} MB at most",
        f"{hours['trials']:,} trials of this kind, hours: {projected}",
        *(agreement_line(peer, row) for peer, row in report["agreement"].items()),
        *sampling_lines(report),
    ]


def products_line(report: Mapping[str, Any]) -> str:
    """How much faster than the idiomatic loop any engine could be that does the same products on these cores."""
    alone, serial = report["products_seconds"], report["peers"].get("serial", {})
    present = {name: said for name, said in PROTOCOLS.items() if name in serial}
    ratios = [f"{serial[name]['seconds'] / alone:,.0f} ({said})" for name, said in present.items()]
    limit = f"; idiomatic loop over that: {', '.join(ratios)}" if ratios else ""
    return f"products of matrices of all gradients alone, every core busy: {alone:.1f} s{limit}"


def agreement_line(peer: str, row: Mapping[str, float]) -> str:
    return (
        f"{peer}: {row['compared']} trials run to their end, {row['reached']} reached the goal; "
        f"steps to the goal differ from the engine's by {row['largest']:.1e} at most, "
        f"outcomes in {row['other_outcome']}"
    )


def sampling_lines(report: Mapping[str, Any]) -> list[str]:
    effort = report["effort"]
    lines = [
        "Idiomatic loop: one jitted Optax step for each batch size, the rate traced, trials one after the "
        "other, JAX's default flags. Pool: one such process per core. GFLOP/s: of one core at the bound, "
        "the products of matrices of the gradient alone, every core busy. x one lane: steps of all lanes of the "
        "machine against those of one trial that has the machine to itself.",
        f"Loops are projected: {effort['trials_per_size']} random trials of every batch size in each of "
        f"{effort['rounds']} rounds, at most {effort['trial_seconds']:g} s each, times the steps of all "
        "trials as the engine counted them; 90 % bootstrap interval over trials. Ratios are medians over "
        "rounds, with their range.",
        "Oracle race: a trial ends as in the engine, the best of its batch size and seed being told in "
        "advance, which no loop could know.",
    ]
    if any("unraced" in peer for peer in report["peers"].values()):
        lines.append(
            "Raced: one trial after the other in random order, each left at the slack times the best so far of "
            "its batch size and seed; the mean over orders. How long trials go on that the engine's race cut "
            f"off is interpolated from the first seed at {effort['unraced_rates']} learning rates of each "
            "batch size, trained without a race."
        )
    return lines
