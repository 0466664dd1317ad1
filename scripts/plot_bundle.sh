#!/usr/bin/env bash
# Bundles the marks of Observable Plot that the catalogue uses into one file, which is committed with its licences.
# Needs node and npm; run it to update, then `make test-site`.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
static=$here/plugins/tools/src/zoo_tools/catalogue/static
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm init -y > /dev/null
npm install --no-audit --no-fund --silent @observablehq/plot@0.6.17 esbuild@0.28.2
node node_modules/esbuild/install.js
echo 'export {plot, dot, line, text, tip, pointer} from "@observablehq/plot";' > entry.js
node_modules/.bin/esbuild entry.js --bundle --minify --format=iife --global-name=Plot --target=es2020 \
  --legal-comments=none --banner:js='/* Observable Plot 0.6.17 and d3, see plot.LICENSE.txt; made by scripts/plot_bundle.sh */' \
  --outfile="$static/plot.min.js"
{
  for package in @observablehq/plot d3 interval-tree-1d binary-search-bounds isoformat internmap delaunator robust-predicates; do
    for licence in node_modules/$package/LICENSE*; do
      [ -f "$licence" ] || continue
      printf '%s\n\n' "── $package ──"
      cat "$licence"
      echo
    done
  done
} > "$static/plot.LICENSE.txt"
