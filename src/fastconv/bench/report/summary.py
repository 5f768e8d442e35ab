"""What the rows of a measurement say together: ratios, sums of networks, standings, and who is fastest.

Called by the tables, the pictures and the report. The arithmetic is that of pandas' tables.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from fastconv.bench.measure.results import Results, Row
from fastconv.text import counted, digits, duration

Frame = Any  # of pandas, whose types checkers do not know


def _frame(columns: Mapping[str, object]) -> Frame:
    return pd.DataFrame(columns)


class Summary:
    """Of one measurement."""

    def __init__(self, results: Results) -> None:
        self.results = results

    @cached_property
    def rows(self) -> Frame:
        """A row for each of the results', in their order.

        Beside what these have: `place` numbers the layers, `total` is the time as often as the network has the layer,
        and `ratio` the time of the layer's best peer over that of the row: above 1 the row is faster; NaN without peer.
        """
        places: dict[object, int] = {}
        table = _frame(
            {
                "group": [row.group for row in self.results.rows],
                "place": [
                    places.setdefault((row.group, row.layer), len(places)) for row in self.results.rows
                ],
                "runner": [row.runner for row in self.results.rows],
                "peer": np.array([row.peer for row in self.results.rows], bool),
                "time": np.array([row.time for row in self.results.rows], float),
                "count": np.array([row.count for row in self.results.rows], float),
            }
        )
        table["total"] = table["count"] * table["time"]
        table["ratio"] = table["place"].map(self._best_peers(table)) / table["time"]
        return table

    @staticmethod
    def _best_peers(table: Frame) -> Frame:
        return table[table["peer"]].groupby("place")["time"].min()

    @property
    def ratios(self) -> list[float]:
        """Of each of the results' rows."""
        return [float(ratio) for ratio in self.rows["ratio"]]

    @property
    def best_peers(self) -> list[Row]:
        """The fastest peer on each layer that one has."""
        peers = self.rows[self.rows["peer"]]
        return [self.results.rows[index] for index in peers.groupby("place")["time"].idxmin()]

    @property
    def has_peers(self) -> bool:
        """Whether anything of fastconv's can be compared with another library."""
        own = self.rows[~self.rows["peer"]]
        return bool(own["ratio"].notna().any())

    @cached_property
    def standings(self) -> Frame:
        """How every backend of fastconv does against the fastest peer of each layer; by runner.

        ``mean`` is geometric, over the ``layers`` that it and a peer have; ``ahead`` is on how many of them it is
        faster than all; ``worst`` is the number of the row with the smallest ratio.
        """
        compared = self.rows[~self.rows["peer"] & self.rows["ratio"].notna()]
        by_runner = compared.groupby("runner", sort=False)["ratio"]
        found = _frame(
            {
                "mean": by_runner.apply(lambda ratio: math.exp(np.log(ratio).mean())),
                "layers": by_runner.size(),
                "ahead": by_runner.apply(lambda ratio: int((ratio > 1).sum())),
                "worst": by_runner.idxmin(),
            }
        )
        return found.reindex([runner for runner in self.results.runners if runner in found.index])

    @property
    def own(self) -> list[str]:
        """fastconv's runners."""
        return [str(name) for name in self.rows[~self.rows["peer"]]["runner"].unique()]

    @cached_property
    def sums(self) -> Frame:
        """Seconds for all layers of each network, each as often as it has it: groups by runners.

        NaN where a runner lacks one of the layers.
        """
        whole = self.rows.groupby("group")["place"].nunique()
        by_runner = self.rows.groupby(["group", "runner"])
        totals = by_runner["total"].sum()
        complete = by_runner["place"].nunique() == whole.reindex(totals.index, level="group")
        table = totals.where(complete).unstack("runner")
        return table.reindex(index=self.results.groups, columns=self.results.runners)

    @cached_property
    def sum_ratios(self) -> Frame:
        """The smallest sum of a peer over each sum, as for `rows`."""
        peers = [runner for runner in self.results.runners if runner not in self.own]
        return self.sums.rdiv(self.sums[peers].min(axis=1), axis=0)

    def sums_of(self, group: str) -> dict[str, float]:
        """Seconds of one network by each runner that has a layer of it."""
        present = {row.runner for row in self.results.of(group)}
        return {
            runner: float(self.sums.loc[group, runner])
            for runner in self.results.runners
            if runner in present
        }

    def fastest(self, group: str, among: list[str]) -> tuple[str, float] | None:
        """Who of them needs least for a network, and how many seconds; None where nobody has all of its layers."""
        sums = self.sums.loc[group, [runner for runner in among if runner in self.sums.columns]].dropna()
        return (str(sums.idxmin()), float(sums.min())) if len(sums) else None

    def overview(self, group: str) -> list[tuple[str, float]]:
        """Every runner that has all layers of a network, the fastest first, and its seconds."""
        sums = self.sums.loc[group].dropna().sort_values(kind="stable")
        return [(str(runner), float(seconds)) for runner, seconds in sums.items()]

    def headline(self) -> str:
        """The most useful fact: how fast the best backend of fastconv is, compared with whom there is."""
        results, own = self.results, self.own
        if not results.rows:
            return "Nothing was measured"
        if not own:
            return "No backend of fastconv was measured"
        peers = [runner for runner in results.runners if runner not in own]
        if len(results.groups) == 1 and (best := self.fastest(results.groups[0], own)):
            name, seconds = best
            took = f"{name} takes {duration(seconds)} for {results.groups[0]}"
            others = self.fastest(results.groups[0], peers if peers else [r for r in own if r != name])
            if others is None:
                return took
            among = f", the fastest of {len(peers)} others" if len(peers) > 1 else ""
            return f"{took}, {digits(others[1] / seconds)} times as fast as {others[0]}{among}"
        if self.has_peers:
            best_name = str(self.standings["mean"].idxmax())
            mean, layers = (self.standings.loc[best_name, name] for name in ("mean", "layers"))
            rival = f"the best of {len(peers)} others" if len(peers) > 1 else peers[0]
            over = counted(int(layers), "layer")
            return f"{best_name} is {digits(float(mean))} times as fast as {rival}, over {over}"
        times = self.rows[~self.rows["peer"]].pivot(index="place", columns="runner", values="time").dropna()
        means = np.exp(np.log(times).mean()).sort_values()
        if len(means) < 2 or times.empty:
            return f"{own[0]} on {counted(int(self.rows['place'].nunique()), 'layer')}, compared with nothing"
        (first, best), (second, after) = list(means.items())[:2]
        return f"{first} is {digits(after / best)} times as fast as {second}, over {counted(len(times), 'layer')}"
