#!/bin/sh
# Counts how often each line of visits.txt is there, most frequent first.
set -eu
out=${STATE_DIRECTORY:-.}
sort visits.txt | uniq -c | sort -k1,1nr -k2 | sed 's/^ *//' >"$out/summary.part"
mv "$out/summary.part" "$out/summary"
echo "$(wc -l <"$out/summary") pages"
