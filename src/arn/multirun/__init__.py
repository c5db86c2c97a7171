"""Many trainings from one command: which of them are still to be run, and where each is started."""
