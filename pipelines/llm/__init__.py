"""Language models that write text: what is asked, what it may cost, and answers that are kept.

One library per file.
"""
