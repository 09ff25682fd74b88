import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';

const PROMETHEUS = 'github.com/prometheus/prometheus/cmd';
/** The module's number of Prometheus 3.16. */
const VERSION = 'v0.316.0';

/** Where a tool is, on PATH or where Go installs; else ends this process and says how to have it. @param {'promtool' | 'prometheus'} name */
export function findGoTool(name) {
  const { PATH = '', GOBIN, GOPATH = join(homedir(), 'go') } = process.env;
  const folders = [...PATH.split(delimiter), GOBIN ?? join(GOPATH, 'bin')];
  const found = folders.map((folder) => join(folder, name)).find((file) => existsSync(file));
  if (found) return found;
  console.error(
    `counterfoil: ${name} is needed. With Go: go install ${PROMETHEUS}/${name}@${VERSION} (some minutes), or install Prometheus 3.`,
  );
  process.exit(1);
}
