"""Analyses of suspected copies as jobs: taken in, queued, done in a process with limits, kept for a while, erased."""
