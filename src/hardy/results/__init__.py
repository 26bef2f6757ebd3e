"""What a run recorded, read from the store; tables and reports made of it."""
