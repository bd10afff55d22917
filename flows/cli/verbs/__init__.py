"""Verbs of `dotpipe`, a function each: of upkeep, of workers, of plain files, and others."""
