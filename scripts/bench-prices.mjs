// npm run bench:prices [-- --smoke | --seconds S]: units that requests are charged beside the CPU that they cost. See docs/figures/limits.md.
import { runBenchmark } from './benchmark.mjs';

await runBenchmark({
  name: 'bench-prices',
  file: 'dist/bench/prices.js',
  redis: true,
  settings: { max_wal_size: '4GB' },
});
