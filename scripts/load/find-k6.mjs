// k6 on PATH or in Go's folder, else installed through Go where Go is present, else said how to get.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';

const K6 = 'go.k6.io/k6@v1.8.1';

/** @param {string} program */
function onPath(program) {
  return (process.env.PATH ?? '')
    .split(delimiter)
    .map((folder) => join(folder, program))
    .find(existsSync);
}

/** @param {(message: string) => never} fail */
export function findK6(fail) {
  const inGo = join(process.env.GOBIN ?? join(process.env.GOPATH ?? join(homedir(), 'go'), 'bin'), 'k6');
  const found = onPath('k6') ?? (existsSync(inGo) ? inGo : undefined);
  if (found) return found;
  const go = onPath('go');
  if (!go)
    fail(
      'k6 is not installed. Get it from https://grafana.com/docs/k6/latest/set-up/install-k6/, or install Go and run this again.',
    );
  console.log(`counterfoil: installing ${K6} through Go (about two minutes)`);
  if (spawnSync(go, ['install', K6], { stdio: 'inherit' }).status !== 0)
    fail(`go install ${K6} failed; what it said is above.`);
  return inGo;
}
