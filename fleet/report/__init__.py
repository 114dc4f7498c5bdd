"""A change as one HTML page: its steps beside what the load balancers' requests went through meanwhile."""
