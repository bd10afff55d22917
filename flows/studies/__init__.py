"""Flows of a study: its points one after the other, and what several of them do together."""
