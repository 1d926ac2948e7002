"""Running a job: the runner, its options, progress, and the places it writes to."""
