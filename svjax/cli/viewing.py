"""What `svjax info`, `report` and `animate` do: they read stores. Heavy imports wait until they are needed."""

from svjax.cli.other_options import AnimateOptions, ExportOptions, InfoOptions, ReportOptions


def info(options: InfoOptions) -> int:
    """`svjax info`: what a store holds."""
    from svjax.model.units import Units
    from svjax.reports import describe, describe_loop, describe_sweep
    from svjax.simulations import runs, tables
    from svjax.storage import folders, formats, plain

    units = None if options.gamma_ev is None else Units(options.gamma_ev)
    kind = plain.store_format(options.run)
    with folders.reading(options.run):
        if kind == formats.SWEEP:
            print(describe_sweep.describe_sweep(options.run, units))
        elif kind == formats.CURVE:
            print(describe.describe_curve(tables.open_curve(options.run), units))
        elif kind == formats.LOOP:
            print(describe_loop.describe_loop(tables.open_loop(options.run), units))
        elif kind == formats.DIAGRAM:
            print(describe.describe_diagram(tables.open_diagram(options.run), units))
        else:
            run = describe.settled(runs.open_run(options.run), options.run)
            print(describe.describe(run, units))
    return 0


def report(options: ReportOptions) -> int:
    """`svjax report`: a page about a store."""
    from svjax.reports import report

    print(f"wrote {report.report(options.run, options.out)}")
    return 0


def export(options: ExportOptions) -> int:
    """`svjax export`: a store as a netCDF file."""
    from svjax.storage import folders, netcdf
    from svjax.sweeps import opening

    target = options.out or options.run.with_name(f"{options.run.absolute().name}.nc")
    with folders.reading(options.run):
        netcdf.to_netcdf(opening.open_store(options.run), target)
    print(f"wrote {target}")
    return 0


def animate(options: AnimateOptions) -> int:
    """`svjax animate`: a run as a moving picture."""
    from svjax import plot
    from svjax.storage import folders
    from svjax.sweeps import opening

    target = options.out or options.run / "spins.gif"
    with folders.reading(options.run):
        run = opening.open_store(options.run)
        plot.animate(run, target, plane=options.plane, frames=options.frames, fps=options.fps)
    print(f"wrote {target}")
    return 0
