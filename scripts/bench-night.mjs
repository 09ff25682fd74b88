// npm run bench:night [-- --smoke | --merchants N --entries N --rounds N --only PART,PART --statements]: a night of many merchants beside the same in
// SQL by hand, what it costs in memory and to who posts meanwhile, and payouts through the simulated bank. See docs/figures/night.md.
import { runBenchmark } from './benchmark.mjs';

await runBenchmark({
  name: 'bench-night',
  file: 'dist/bench/night.js',
  redis: true,
  settings: {
    max_wal_size: '8GB',
    shared_buffers: '1GB',
    ...(process.argv.includes('--statements') && { shared_preload_libraries: 'pg_stat_statements' }),
  },
});
