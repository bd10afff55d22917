"""Flow runs seen from outside: requested, alive or not, taken over, shut down."""
