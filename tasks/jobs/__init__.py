"""What a task is: the job that it is told, how that is carried out, and what it reports.

Inputs go into a recipe, which gives a target if there is something to make. A job with targets
goes into ``carry_out`` or ``settle``, and an outcome comes out.

The policy, events and progress of tasks need Prefect and are imported from their modules.
"""

from tasks.jobs.execution import carry_out, note_failure, publishing, settle
from tasks.jobs.job import Job, Line, Outcome, Planned, Subject, Target, count_reasons
from tasks.jobs.recipe import Recipe, aim, finished_digest

__all__ = [
    "Job",
    "Line",
    "Outcome",
    "Planned",
    "Recipe",
    "Subject",
    "Target",
    "aim",
    "carry_out",
    "count_reasons",
    "finished_digest",
    "note_failure",
    "publishing",
    "settle",
]
