"""Reading a suspected copy: where in which asset it comes from, and what each of its segments says of the variant."""
