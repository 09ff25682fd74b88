// npm run bench:layout [-- --rows N --merchants M --tiny T --fresh-rows F --sample S --os-cache --drop-os-cache]
// See db/bench/README.md.
import { runBenchmark } from './benchmark.mjs';

// A file system without O_DIRECT would keep the server from starting.
const directIo = process.argv.includes('--os-cache') ? '' : 'data';

await runBenchmark({
  name: 'bench-layout',
  file: 'dist/db/bench/layout-command.js',
  redis: false,
  settings: {
    // Room to load; what is measured cold is evicted first.
    shared_buffers: '512MB',
    // Data files past the kernel's cache, so that a cold read is the disk's.
    debug_io_direct: directIo,
    // The benchmark vacuums when it wants to.
    autovacuum: 'off',
    bgwriter_delay: '20ms',
    bgwriter_lru_maxpages: 1000,
  },
});
