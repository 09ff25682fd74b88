// npm run bench:outbox [-- --events N --merchants M --crash --statements]: a log of N events through the relay and its consumers; with --crash
// the worker is killed again and again meanwhile. See docs/figures/outbox.md.
import { runBenchmark } from './benchmark.mjs';

await runBenchmark({
  name: 'bench-outbox',
  file: 'dist/bench/outbox.js',
  redis: true,
  settings: {
    max_wal_size: '8GB',
    ...(process.argv.includes('--statements') && { shared_preload_libraries: 'pg_stat_statements' }),
  },
});
