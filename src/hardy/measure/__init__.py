"""Numbers from per-sample records: metrics, calibration, paired tests, confusion, leaderboards."""
