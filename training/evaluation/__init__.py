"""How good a model is, told so that people can judge it: figures, a report, a model card.

``command.py``      ``scenery evaluate``
``evaluate.py``     what the commands call
``subject.py``      a model, some labelled photos and the scores they got
``evaluation.py``   the figures: ``evaluation.json``
``bootstrap.py``    their intervals
``slices.py``       the same figures for a part of the photos
``mistakes.py``     the worst errors
``folds.py``        cross-validation
``plots.py``, ``report.py``, ``report.html``    the report
``card.py``, ``card.md``                        the model card
"""
