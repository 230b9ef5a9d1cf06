"""Reports on a build: ledger, versions, plan, damage."""
