"""Where bytes lie: outputs on any fsspec URL, locks, tables, archives."""
