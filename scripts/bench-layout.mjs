// npm run bench:layout [-- --rows N --merchants M --tiny T --fresh-rows F --sample S --drop-os-cache]
// See db/bench/README.md.
import { runBenchmark } from './benchmark.mjs';

await runBenchmark({
  name: 'bench-layout',
  file: 'dist/db/bench/layout-command.js',
  redis: false,
  // Room to load; what is measured cold is evicted first. Data files past the kernel's cache, so that a cold read is the disk's.
  settings: {
    shared_buffers: '512MB',
    debug_io_direct: 'data',
    autovacuum: 'off',
    bgwriter_delay: '20ms',
    bgwriter_lru_maxpages: 1000,
  },
});
