"""Peers in the same world: what each does when its process, its network, its tools or its model misbehave."""
