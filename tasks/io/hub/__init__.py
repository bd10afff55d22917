"""The Hub of Hugging Face: repositories of data sets, and what it means when it refuses."""

from tasks.io.hub.files import Change, Sent, State
from tasks.io.hub.refusals import NotTaken, answer_of, answering
from tasks.io.hub.repository import Repository

__all__ = ["Change", "NotTaken", "Repository", "Sent", "State", "answer_of", "answering"]
