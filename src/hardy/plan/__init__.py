"""An experiment in, the units to run out: dependencies, what is already done, what it will cost."""
