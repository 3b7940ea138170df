"""What does hpcdoctor cost, beside the floors and its peers? `make bench`."""
