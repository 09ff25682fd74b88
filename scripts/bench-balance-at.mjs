// npm run bench:balance-at: what a balance at a point in time costs on an account of up to 1,000,000 entries.
import { runBenchmark } from './benchmark.mjs';

await runBenchmark({
  name: 'bench-balance-at',
  file: 'dist/bench/balance-at.js',
  redis: false,
  settings: { shared_buffers: '1GB', max_wal_size: '8GB', work_mem: '256MB' },
});
