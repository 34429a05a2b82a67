"""The forensic watermark: two variants of each segment, a code of variants per session, and who leaked a copy."""
