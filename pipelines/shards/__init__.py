"""Any WebDataset, ours or not: found, read, checked, exported."""
