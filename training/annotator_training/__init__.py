"""How the networks and confidences of `pipelines/annotators` are made, in this order.

    pip install -e '.[fit]'
    python -m training.annotator_training.practice pieces
    python -m training.annotator_training.fit_harmony pieces
    python -m training.annotator_training.practice more --first 20000 --pieces 2800
    python -m training.annotator_training.fit_bars more
    python -m training.annotator_training.fit_confidence known --nothing speech

`practice` names the packages that it needs. `more` holds pieces that the harmony network has not
seen, `known` clips with their truth, `speech` audio of which every label is wrong. Two cores need
about two hours for all of it. `tests/benchmarks/truth.py` says how good it is.
"""
