"""The only place that knows Apache Beam.

Importing it costs a second, so what can do without is in modules of its own.
"""
