"""ETSI TS 104 002: where segments stand, what tokens say, and what players must not see of either."""
