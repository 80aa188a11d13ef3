"""The file server on which replicas lie: where it is, how it is reached, how it was found."""
