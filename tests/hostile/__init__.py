"""What an attacker may do to a cookie and to the store, and what comes of it: nothing."""
