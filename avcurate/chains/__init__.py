"""What each command runs: stages and sources put together over a run directory. Prints nothing."""
