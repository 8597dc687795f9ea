"""Prefect's log shows the sentence of an error that is the user's to mend, and no traceback."""

import logging

from engine.troubles import in_words

_LOGGERS = ("prefect.flow_runs", "prefect.task_runs")


class Sentences(logging.Filter):
    """Turns the record of an exception with a sentence into that sentence; bugs keep theirs."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Change the record; it is never dropped."""
        error = record.exc_info[1] if record.exc_info else None
        sentence = None if error is None else in_words(error)
        if sentence is not None:
            record.msg, record.args = sentence, ()
            record.exc_info = record.exc_text = None
        return True


def show_sentences() -> None:
    """Have it so in this process, once."""
    for name in _LOGGERS:
        logger = logging.getLogger(name)
        if not any(isinstance(each, Sentences) for each in logger.filters):
            logger.addFilter(Sentences())
