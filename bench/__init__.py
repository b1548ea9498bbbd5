"""The benchmark: bridle and its peers on the same work, in the same process."""
