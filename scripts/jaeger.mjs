// npm run jaeger: a Jaeger with its pages on this machine's loopback, everything in memory, until Ctrl-C. It is found on PATH or in our
// cache folder, else built there where Git, Go and npm are present, else said how to get.
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { cacheFolder, makeAtomically } from './services/cache-folder.mjs';
import { Child } from './services/child.mjs';
import { ServicesError } from './services/services-error.mjs';
import { supervise } from './services/supervise.mjs';

const PAGES = 'http://127.0.0.1:16686';
const OTLP = 'http://127.0.0.1:4318';
const READY_WITHIN_MS = 30_000;
/** What goes together: the backend before its pull request 9260, which dropped what the pages ask for, and the pages of November 2025. */
const BACKEND = { repository: 'https://github.com/jaegertracing/jaeger', commit: '83f312167' };
const FRONTEND = { repository: 'https://github.com/jaegertracing/jaeger-ui', before: '2025-11-15' };
const HOW = `There is no Jaeger here. Have one by either of:
  docker run --rm -p 127.0.0.1:16686:16686 -p 127.0.0.1:4318:4318 jaegertracing/jaeger:2.12.0
  a program named jaeger on PATH, from https://www.jaegertracing.io/download/
  Git, Go 1.26 or newer and npm on PATH: then this builds one (about six minutes).`;

const say = (/** @type {string} */ message) => console.log(`counterfoil: ${message}`);

/** @param {string} program */
function onPath(program) {
  return (process.env.PATH ?? '')
    .split(delimiter)
    .map((folder) => join(folder, program))
    .find(existsSync);
}

/** @param {string} cwd @param {string} command @param {string[]} args */
function run(cwd, command, args) {
  const { status, stdout } = spawnSync(command, args, { cwd, stdio: ['ignore', 'pipe', 'inherit'], encoding: 'utf8' });
  if (status !== 0) throw new ServicesError(`${command} ${args.join(' ')} failed; what it said is above.`);
  return stdout.trim();
}

/** Pages first: the backend has them in itself, packed. @param {string} folder */
function build(folder) {
  const work = mkdtempSync(join(tmpdir(), 'counterfoil-jaeger-'));
  try {
    const [backend, frontend] = [join(work, 'jaeger'), join(work, 'jaeger-ui')];
    run(work, 'git', ['clone', '-q', BACKEND.repository, backend]);
    run(backend, 'git', ['checkout', '-qf', BACKEND.commit]);
    run(work, 'git', ['clone', '-q', FRONTEND.repository, frontend]);
    const newest = run(frontend, 'git', ['log', `--before=${FRONTEND.before}`, '-1', '--format=%H']);
    run(frontend, 'git', ['checkout', '-qf', newest]);
    run(frontend, 'npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund']);
    run(frontend, 'npm', ['rebuild', 'esbuild']);
    run(frontend, 'npm', ['run', 'build']);
    const assets = join(backend, 'cmd/jaeger/internal/extension/jaegerquery/internal/ui/actual');
    cpSync(join(frontend, 'packages/jaeger-ui/build'), assets, { recursive: true });
    pack(assets);
    run(backend, 'go', ['build', '-o', join(folder, 'jaeger'), './cmd/jaeger']);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** @param {string} folder */
function pack(folder) {
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    if (!entry.isFile() || entry.name.endsWith('.gz') || entry.name.startsWith('.git')) continue;
    writeFileSync(`${path}.gz`, gzipSync(readFileSync(path), { level: 9 }));
    rmSync(path);
  }
}

async function findJaeger() {
  const found = onPath('jaeger');
  if (found) return found;
  const folder = join(cacheFolder({ shared: false }), 'jaeger');
  const program = join(folder, 'jaeger');
  if (existsSync(program)) return program;
  if (!['git', 'go', 'npm'].every(onPath)) throw new ServicesError(HOW);
  say('building Jaeger and its pages (about six minutes, once)');
  await makeAtomically(folder, build);
  return program;
}

/** @param {string} url */
const answers = (url) =>
  fetch(url).then(
    ({ ok }) => ok,
    () => false,
  );

await supervise(async (keep) => {
  if (await answers(`${PAGES}/api/services`)) throw new ServicesError(`There is a Jaeger already: ${PAGES}`);
  // Bare, it keeps everything in memory. Its receivers listen where JAEGER_LISTEN_HOST says, its pages and queries only where these do.
  const queries = ['http.endpoint=127.0.0.1:16686', 'grpc.endpoint=127.0.0.1:16685'];
  const loopback = queries.map((setting) => `--set=extensions.jaeger_query.${setting}`);
  const jaeger = keep(
    new Child('jaeger', [await findJaeger(), ...loopback], {
      env: { ...process.env, JAEGER_LISTEN_HOST: '127.0.0.1' },
      stdio: ['ignore', 'ignore', process.env.JAEGER_LOG ? 'inherit' : 'ignore'],
    }),
  );
  await jaeger.ready(READY_WITHIN_MS, () => answers(`${PAGES}/api/services`));
  console.log(`Jaeger's pages: ${PAGES}
Start Counterfoil so that every request shows there:

  OTEL_EXPORTER_OTLP_ENDPOINT=${OTLP} TRACE_SAMPLE_RATIO=1 npm start

Choose the service "counterfoil-api", then Find Traces. Ctrl-C ends it, and forgets them.`);
  const how = await jaeger.ended;
  throw new ServicesError(`jaeger ended (${how}).`);
});
