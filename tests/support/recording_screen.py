"""A screen that keeps what it is called with."""

import threading


class RecordingScreen:
    """A screen that keeps what it is called with."""

    def __init__(self):
        self.begun, self.images, self.notes, self.said, self.parts = [], 0, [], [], []
        self.expected = []
        self._lock = threading.Lock()

    def begin(self, step, total):
        self.begun.append((step, total))

    def expect(self, total):
        self.expected.append(total)

    def advance(self, images):
        with self._lock:
            self.images += images

    pass_by = advance

    def at(self, part):
        self.parts.append(part)

    def say(self, sentence):
        self.said.append(sentence)

    def finish(self, note):
        self.notes.append(note)
