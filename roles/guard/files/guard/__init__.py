"""The guard of a load balancer: takes a bad instance out of nginx' groups, and slowly back in."""
