"""Sweeps: many networks of one design, measured or trained, stored as they come, resumed after any interruption."""

from leadline.studies.sweeps.cells import Cell as Cell, Training as Training
from leadline.studies.sweeps.merging import merge as merge
from leadline.studies.sweeps.plan import Range as Range, Sweep as Sweep
from leadline.studies.sweeps.reading import as_sweep as as_sweep, read_sweep as read_sweep
from leadline.studies.sweeps.running import Tally as Tally, run as run, sweep as sweep
from leadline.studies.sweeps.store import Store as Store
from leadline.studies.sweeps.tables import export as export, frame as frame
