-- The health of a dependency, as one tenant has seen it.
SELECT body FROM health WHERE tenant = ? AND dependency = ?
