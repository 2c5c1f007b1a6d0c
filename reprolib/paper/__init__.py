"""The two papers as data, the ledger that joins their cells with records, and the regression gate."""
