"""What is told of a build: ledger, versions, plan, damage."""
