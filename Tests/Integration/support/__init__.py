"""Clients, a gateway's database and reference computations, all written apart from the daemon's code."""
