// npm run docs:ops: writes the alerts, their tests, Prometheus' configuration and the dashboards of ops/ from ops/*.ts. RUNBOOK_URL:
// where alerts link to, as docs/operations.md is read there.
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { compile, compiled, root } from './compile.mjs';

compile();
const { filesOfOps } = await import(pathToFileURL(compiled('ops/files.js')).href);
for (const [name, text] of filesOfOps(process.env.RUNBOOK_URL)) {
  const path = join(root, 'ops', name);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
}
