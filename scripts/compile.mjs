// Compiles apps, libs, db and bench into dist: seconds when little has changed, and with -b no time when nothing has.
import { spawnSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** Ends this process with the compiler's own messages when something does not compile. */
export function compile() {
  const compiler = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
  const { status } = spawnSync(process.execPath, [compiler, '-b', 'tsconfig.build.json'], {
    cwd: root,
    stdio: 'inherit',
  });
  if (status !== 0) process.exit(status ?? 1);
}

/** @param {string} file below dist */
export function compiled(file) {
  return join(root, 'dist', file);
}

/** Compiles, and runs a program of ours in this process, with the arguments that it has. @param {string} file below dist */
export async function runCompiled(file) {
  compile();
  process.setSourceMapsEnabled(true);
  await import(compiled(file));
}
