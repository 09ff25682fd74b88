// npm run bench:limits [-- --rounds N | --seconds S]: what limits cost a request, and what a refusal costs. See docs/figures/limits.md.
import { runBenchmark } from './benchmark.mjs';

await runBenchmark({
  name: 'bench-limits',
  file: 'dist/bench/limits.js',
  redis: true,
  settings: { max_wal_size: '4GB' },
});
