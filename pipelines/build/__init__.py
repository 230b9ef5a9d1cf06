"""What a build leaves on disk, typed: a value for each table, archive and document, the markers
that vouch for them.
"""
