"""What comes back from replicas: a file beside the present one, or all of a volume to another PC."""
