// npm run drills [-- NAME …]: makes each alert of ops/alerts.ts fire on a private service that a real Prometheus looks at, heals what was
// done, and waits until the alert is gone. Exit 1 when one did not. See docs/figures/drills.md.
import { runBenchmark } from './benchmark.mjs';
import { findGoTool } from './go-tools.mjs';

process.env.PROMETHEUS = findGoTool('prometheus');
await runBenchmark({ name: 'drills', file: 'dist/ops/drills/main.js', redis: true, settings: {} });
