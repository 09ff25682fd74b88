// npm run bench:webhooks: webhook deliveries a second to a local sink.
import { runBenchmark } from './benchmark.mjs';

await runBenchmark({ name: 'bench-webhooks', file: 'dist/bench/webhooks.js', redis: false, settings: {} });
