import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { freePort } from '../scripts/ports.mjs';
import { blocksOf } from './support/page.js';
import { until } from './support/until.js';

/** `npm run jaeger`, with a program named jaeger in place of Jaeger: it says on its pages what it was started with. */

const ROOT = join(import.meta.dirname, '..');
const { scripts } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));

let folder: string;
let port: number;
const started: ChildProcess[] = [];

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'counterfoil-jaeger-'));
  port = await freePort();
});
afterAll(() => {
  for (const child of started) child.kill('SIGTERM');
  rmSync(folder, { recursive: true, force: true });
});

function haveJaeger(): void {
  const program = `#!${process.execPath}
const { argv, env } = process;
const told = JSON.stringify({ args: argv.slice(2), host: env.JAEGER_LISTEN_HOST });
const server = require('node:http').createServer((request, response) => response.end(told));
server.on('connect', (request, socket) => socket.write('HTTP/1.1 200 OK\\r\\n\\r\\n', () => server.emit('connection', socket)));
server.listen(${port}, '127.0.0.1');
`;
  writeFileSync(join(folder, 'jaeger'), program, { mode: 0o755 });
}

/** On a PATH with nothing else. Jaeger's port may be taken by somebody's own: a proxy, which Node asks, has its pages at ours. */
function run() {
  const env = {
    PATH: folder,
    COUNTERFOIL_CACHE_DIR: folder,
    NODE_USE_ENV_PROXY: '1',
    HTTP_PROXY: `http://127.0.0.1:${port}`,
  };
  const child = spawn(process.execPath, [join(ROOT, 'scripts/jaeger.mjs')], { env, stdio: ['ignore', 'pipe', 'pipe'] });
  started.push(child);
  const running = { child, output: '', ended: once(child, 'close').then(([code]) => code) };
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (running.output += chunk));
  return running;
}

const pages = () =>
  fetch(`http://127.0.0.1:${port}`).then(
    (response) => response.json(),
    () => undefined,
  );

test('is the first command of docs/tracing.md', () => {
  expect(blocksOf('tracing.md')[0]?.code).toBe('npm run jaeger');
  expect(scripts.jaeger).toBe('node scripts/run.mjs jaeger');
});

test('where there is no Jaeger and no Go to build one, it says how to have one', async () => {
  const running = run();
  expect(await running.ended).toBe(1);
  expect(running.output).toMatch(/^counterfoil: There is no Jaeger here\. Have one by either of:\n {2}docker run /);
  expect(running.output).toContain('Go 1.26 or newer');
});

test('runs the Jaeger that is on PATH, on the loopback alone, until it is ended', async () => {
  haveJaeger();
  const running = run();
  await until('it is ready', () => running.output.includes('Ctrl-C ends it') || running.child.exitCode !== null);
  const [jaeger, start] = blocksOf('tracing.md');
  expect(running.output).toBe(`${jaeger?.shown}\n`);
  expect(running.output).toContain(`\n  ${start?.code}\n`);
  // Where its receivers listen, and where its pages and queries do.
  const queries = ['http.endpoint=127.0.0.1:16686', 'grpc.endpoint=127.0.0.1:16685'];
  const args = queries.map((one) => `--set=extensions.jaeger_query.${one}`);
  expect(await pages()).toEqual({ args, host: '127.0.0.1' });
  const second = run();
  expect(await second.ended).toBe(1);
  expect(second.output).toBe('counterfoil: There is a Jaeger already: http://127.0.0.1:16686\n');
  running.child.kill('SIGTERM');
  expect(await running.ended).toBe(0);
  expect(await pages()).toBeUndefined();
});
