// npm run bench:reconciliation [-- --smoke | --rows N,N --rounds N]: a report from its upload until it is completed, beside a plain COPY
// of the same file. See docs/figures/reconciliation.md.
import { runBenchmark } from './benchmark.mjs';

await runBenchmark({
  name: 'bench-reconciliation',
  file: 'dist/bench/reconciliation.js',
  redis: true,
  settings: { max_wal_size: '8GB', shared_buffers: '1GB' },
});
