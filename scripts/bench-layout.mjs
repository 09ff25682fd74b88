// npm run bench:layout [-- --rows N --merchants M --tiny T --fresh-rows F --sample S --drop-os-cache]
// See db/bench/README.md.
import { runBenchmark } from './benchmark.mjs';

await runBenchmark({
  name: 'bench-layout',
  file: 'dist/db/bench/layout.js',
  redis: false,
  // Few buffers, quickly evicted; data files past the kernel's cache, so that a cold read is the disk's.
  settings: { shared_buffers: '128MB', debug_io_direct: 'data', autovacuum: 'off' },
});
