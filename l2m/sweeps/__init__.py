"""Many runs: what is to do, where it is trained, what is printed meanwhile, and the search for good values."""
