// npm run sbom: a bill of materials of what runs, in CycloneDX's JSON. `npm sbom --omit dev` leaves out whatever a tool needs as well
// (npm/cli#7909, open): here all is asked for, and what package-lock.json has for tools alone is taken out.
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './compile.mjs';

const { status, stdout } = spawnSync('npm', ['sbom', '--sbom-format', 'cyclonedx'], {
  cwd: root,
  stdio: ['ignore', 'pipe', 'inherit'],
  encoding: 'utf8',
  maxBuffer: 64 * 1024 * 1024,
});
if (status !== 0) process.exit(1);

/** @type {{ components: { 'bom-ref': string }[], dependencies: { ref: string, dependsOn: string[] }[] }} */
const all = JSON.parse(stdout);
/** @type {{ packages: Record<string, { name?: string, version: string, dev?: boolean }> }} */
const { packages } = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8'));
const running = new Set(
  Object.entries(packages)
    .filter(([, { dev }]) => !dev)
    .map(([path, { name = path.split('node_modules/').at(-1), version }]) => `${name}@${version}`),
);
const dependencies = all.dependencies
  .filter(({ ref }) => running.has(ref))
  .map(({ ref, dependsOn }) => ({ ref, dependsOn: dependsOn.filter((one) => running.has(one)) }));
const components = all.components.filter(({ 'bom-ref': ref }) => running.has(ref));
console.log(JSON.stringify({ ...all, components, dependencies }, null, 2));
