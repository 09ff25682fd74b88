// npm run bench [-- --smoke | --rounds N --seconds S --merchants M --accounts A --layout-rows R --only TRIAL,TRIAL --api FILE]
// See db/bench/README.md.
import { runBenchmark } from './benchmark.mjs';

await runBenchmark({
  name: 'bench',
  file: 'dist/bench/main.js',
  redis: true,
  settings: { max_wal_size: '8GB', track_commit_timestamp: true },
});
