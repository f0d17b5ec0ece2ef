"""What tests, benchmarks and the fuzzer share: daemons to try, and strict readers."""
