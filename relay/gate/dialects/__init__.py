"""Token dialects: each turns a token's text into what it proves, or into the reason why it proves nothing."""
