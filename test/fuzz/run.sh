#!/usr/bin/env bash
# make fuzz: runs each fuzz target for FUZZ_SECONDS, starting with the corpus of the repository; needs clang.
# New inputs are kept in build/fuzz; a failing input is printed, and should be added to test/fuzz/corpus.
set -euo pipefail
cd "$(dirname "$0")/../.."
seconds=${1:-60}
shared=()
for source in test/unit/*.c; do
	[[ $source == */unit_* ]] || shared+=("$source")
done
for target in test/fuzz/fuzz_*.c; do
	name=$(basename "$target" .c)
	mkdir -p "build/fuzz/$name"
	clang -std=gnu11 -O1 -g -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all -DCT_ASSERTIONS -Isrc -Itest/unit \
		-Wl,--wrap=ct_alloc -o "build/fuzz/$name.bin" "$target" "${shared[@]}" src/engine/*.c -lcmocka -lxxhash
	"build/fuzz/$name.bin" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=4096 -print_final_stats=1 \
		-artifact_prefix=build/fuzz/ "build/fuzz/$name" test/fuzz/corpus
done
