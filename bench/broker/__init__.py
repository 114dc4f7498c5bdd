"""The service beside its peer, the published amebo package, and beside the limits of what it is built on."""
