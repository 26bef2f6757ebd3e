"""Test-time prompt tuning (arXiv:2209.07511)."""
