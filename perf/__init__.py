"""What `make perf` times: one module for each suite, with `main(arguments: list[str]) -> None`."""
