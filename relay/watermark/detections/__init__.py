"""Other vendors' marks: whose they are, and what their detectors report."""
