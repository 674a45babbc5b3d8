"""The sample: fifty made-up residents, and the batch that `rhcard demo` makes of them."""
