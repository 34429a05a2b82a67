"""The demonstration: a live origin made on this machine, and a page that plays the protected stream."""
