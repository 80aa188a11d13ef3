"""The PCs: registry, enrolment, presence, audit log, signing keys."""
