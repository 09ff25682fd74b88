import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** Compiles apps and libs into dist; incremental, so that a second time takes a second. Ends the process when it fails. */
export function compile() {
  const compiler = createRequire(import.meta.url).resolve('typescript/bin/tsc');
  runToEnd([compiler, '-p', join(root, 'tsconfig.build.json')]);
}

/** Runs a program in Node and ends this process when it fails, with its code. @param {string[]} args */
export function runToEnd(args) {
  const { status } = spawnSync(process.execPath, args, { stdio: 'inherit' });
  if (status !== 0) process.exit(status ?? 1);
}

/** @param {string} file below dist */
export function compiled(file) {
  return join(root, 'dist', file);
}
