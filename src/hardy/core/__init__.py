"""What every room of the house stands on: errors, hashing, seeding, paths, the named catalog."""
