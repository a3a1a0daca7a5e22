"""Means over the runs of an ensemble, and their standard errors."""

import numpy as np
import xarray as xr

from svjax.storage.status import Status


def ensemble(sweep: xr.Dataset, over: str = "seed") -> xr.Dataset:
    """The mean of every variable of a ``sweep`` along the dimension ``over``, and its standard error.

    Of n complete runs the mean is x = sum_k x_k/n, and its error, under the name with "_error", the square root of
    sum_k |x_k - x|^2/(n (n - 1)), nan for one run; both as functions of the other parameters, and the time. ``runs`` is
    n. Units are those of the sweep. Raises ValueError where ``over`` is no dimension of it.
    """
    if over not in sweep["status"].dims:
        raise ValueError(f"Argument `over` must be a dimension of the sweep, but is {over!r}.")
    good = sweep["status"] == Status.COMPLETE
    found = {"runs": good.sum(over)}
    for name, values in sweep.data_vars.items():
        if over in values.dims and np.issubdtype(values.dtype, np.inexact):
            kept = values.where(good)
            count = good.sum(over)
            found[str(name)] = kept.mean(over, keep_attrs=True)
            spread = (abs(kept - found[str(name)]) ** 2).sum(over) / (count - 1).where(count > 1)
            found[f"{name}_error"] = ((spread / count) ** 0.5).assign_attrs(
                units=values.attrs.get("units", ""), long_name="standard error"
            )
    return xr.Dataset(found)
