// npm run ops:check: has promtool, where there is one, check the rules and try them on series. Exit 1 where it finds something wrong.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { root } from './compile.mjs';
import { findGoTool } from './go-tools.mjs';

const promtool = findGoTool('promtool');
for (const args of [
  ['check', 'rules', 'alerts.yml'],
  ['check', 'config', '--syntax-only', 'prometheus.yml'],
  ['test', 'rules', 'alerts.test.yml'],
]) {
  const { status } = spawnSync(promtool, args, { cwd: join(root, 'ops'), stdio: 'inherit' });
  if (status !== 0) process.exit(1);
}
