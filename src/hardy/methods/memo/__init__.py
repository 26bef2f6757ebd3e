"""MEMO: marginal entropy minimisation with one test point."""
