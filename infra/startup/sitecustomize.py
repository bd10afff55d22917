"""Claims the names of our packages in a process below `dotpipe`; `dotpipe.py` says why.

Python imports the first `sitecustomize` on its path at every start. One that this hides is run
too.
"""

import sys
from contextlib import suppress
from importlib.machinery import PathFinder
from importlib.util import module_from_spec

HERE = __file__.rpartition("/")[0]

with suppress(ModuleNotFoundError):  # another Python, which some tool runs, does not have it
    from dotpipe import claim_names_here

    claim_names_here()
if spec := PathFinder.find_spec("sitecustomize", [each for each in sys.path if each != HERE]):
    sys.modules["sitecustomize"] = module = module_from_spec(spec)
    if spec.loader is not None:
        spec.loader.exec_module(module)
