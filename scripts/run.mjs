// Starts a project command under Node 24, also where the system's Node is older. This file itself must run on Node 20.
//
//   node scripts/run.mjs <name> [args…]        runs scripts/<name>.mjs
//   node scripts/run.mjs bin <tool> [args…]    runs the JavaScript command of that name from node_modules/.bin
import { spawn } from 'node:child_process';
import { existsSync, realpathSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const OLDEST_NODE = 24;
const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** @param {string} message @returns {never} */
function fail(message) {
  console.error(`counterfoil: ${message}`);
  process.exit(1);
}

/** The running Node when it is new enough, else the one that `npm ci` brought. */
function findNode() {
  if (Number(process.versions.node.split('.')[0]) >= OLDEST_NODE) return process.execPath;
  const bundled = join(root, 'node_modules', `node-linux-${process.arch}`, 'bin', 'node');
  if (process.platform === 'linux' && existsSync(bundled)) return bundled;
  return fail(
    `Node ${OLDEST_NODE} or newer is needed and this is Node ${process.versions.node}. On Linux (x64, arm64) \`npm ci\` ` +
      `brings one along: run it without --omit=optional. Elsewhere install Node ${OLDEST_NODE} from https://nodejs.org.`,
  );
}

/** @param {string} name */
function findScript(name) {
  const script = join(root, 'scripts', `${name}.mjs`);
  if (!/^[\w-]+$/.test(name) || !existsSync(script)) fail(`there is no script "${name}" in ${join(root, 'scripts')}.`);
  return script;
}

/** @param {string | undefined} tool */
function findTool(tool) {
  const link = join(root, 'node_modules', '.bin', tool ?? '');
  if (!tool || !existsSync(link)) fail(`the tool "${tool ?? ''}" is not installed; run \`npm ci\` first.`);
  return realpathSync(link);
}

const [name, ...rest] = process.argv.slice(2);
if (!name) fail('say what to run: node scripts/run.mjs <name> [args…], or node scripts/run.mjs bin <tool> [args…].');
const isTool = name === 'bin';
const file = isTool ? findTool(rest.shift()) : findScript(name);
const node = findNode();

// Our own scripts get a channel whose end tells them that this launcher was killed; a tool might mistake it for its own.
const child = spawn(node, [file, ...rest], {
  stdio: isTool ? 'inherit' : ['inherit', 'inherit', 'inherit', 'ipc'],
  env: { ...process.env, PATH: [dirname(node), process.env.PATH].filter(Boolean).join(delimiter) },
});

for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP'])) {
  process.on(signal, () => {
    // A terminal delivers Ctrl-C to the child as well; passing it on would make it two, which tools take for "at once".
    if (signal === 'SIGINT' && process.stdin.isTTY) return;
    child.kill(signal);
  });
}

child.on('error', (error) => fail(`${node} could not be started (${error.message}); run \`npm ci\` again.`));
child.on('exit', (code, signal) => {
  if (!signal) process.exit(code ?? 1);
  process.removeAllListeners(signal);
  process.kill(process.pid, signal);
});
