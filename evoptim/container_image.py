"""The image that every step runs in unless the compiler is given another."""

# Not "latest": Kubernetes pulls that tag each time, so an image that was only loaded into a
# local cluster would never start.
DEFAULT_IMAGE = "evoptim:dev"
