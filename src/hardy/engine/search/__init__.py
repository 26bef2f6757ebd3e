"""A search: Optuna chooses values, units try them, the best answers once on other samples."""
