"""Numbers held against numbers: the ledger (ours beside the papers'), the claims, and the gate (ours beside ours)."""
