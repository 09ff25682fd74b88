// npm run bench:noisy-neighbour [-- --smoke | --rounds N --seconds S --only KIND,KIND --apis N --units N --without-redis --night MERCHANTS]: what a
// merchant waits beside one that sends 50 times as much, divided by what it waits alone, and while the same noise is sent elsewhere. See docs/figures/limits.md.
import { runBenchmark } from './benchmark.mjs';

await runBenchmark({
  name: 'bench-noisy',
  file: 'dist/bench/noisy-neighbour.js',
  redis: true,
  settings: { max_wal_size: '4GB' },
});
