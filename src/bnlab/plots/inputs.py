"""What was recorded of the inputs of the nonlinearities."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bnlab.config import ConfigError
from bnlab.plots.style import SATURATION
from bnlab.plots.table import columns_of
from bnlab.readings import stack_lists


def sites_of(table: pd.DataFrame, what: str) -> list[str]:
    """The sites at which `what` ("histogram", "percentiles") was recorded, layer by layer.

    Raises `ConfigError` where there is none.
    """
    ending = f"/population/{what}"
    sites = [c.removesuffix(ending) for c in columns_of(table) if c.endswith(ending) and table[c].notna().any()]
    if not sites:
        raise ConfigError(f"these runs hold no {what}: train with `activations` in measure.what")
    return sites


def chosen_sites(table: pd.DataFrame, what: str, site: str | None) -> list[str]:
    """`site` alone, or all there are; raises `ConfigError`, which names those, where it is none of them."""
    sites = sites_of(table, what)
    if site is not None and site not in sites:
        raise ConfigError(f"{site}: {what} were not recorded there; sites: {', '.join(sites)}")
    return sites if site is None else [site]


def inputs_of(table: pd.DataFrame, site: str, statistics: str, what: str) -> pd.DataFrame:
    """The records that have `what` of a site's inputs, as the column `inputs/<what>`.

    Without BN a network has no batch statistics, and both kinds are the same.
    """
    values = table[f"{site}/population/{what}"]
    batch = [c for c in columns_of(table) if c.startswith(f"{site}/batch/")]
    if statistics == "batch" and batch:
        with_batch = table[batch].notna().any(axis=1)
        values = values.where(~with_batch, table.get(f"{site}/batch/{what}", np.nan))
    return table.assign(**{f"inputs/{what}": values})[values.notna()]


def those_with(table: pd.DataFrame, what: str) -> pd.DataFrame:
    """The runs that recorded `what` of any site."""
    columns = [f"{site}/population/{what}" for site in sites_of(table, what)]
    return table[table["run"].isin(table["run"][table[columns].notna().any(axis=1)])]


def saturation(table: pd.DataFrame) -> tuple[float, float, str]:
    """Below and above which the nonlinearity of these runs saturates, and what that is; infinite where they differ."""
    kinds = table["model.activation"].unique()
    return SATURATION.get(str(kinds[0]) if len(kinds) == 1 else "", (-np.inf, np.inf, "where it saturates"))


def histograms(table: pd.DataFrame, column: str) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Steps (S,) and the counts (S, bins) of all runs of `table` together."""
    totals = table.groupby("step")[column].agg(lambda rows: stack_lists(rows).sum(axis=0))
    return totals.index.to_numpy(), stack_lists(totals)
