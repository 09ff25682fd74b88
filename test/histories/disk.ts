import { spawnSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const SIZE = '1g';
const BALLAST = Buffer.alloc(8 * 1024 * 1024);
/** Where there is no disk to fill no file may grow: a page more than most files have. */
const GROWN = 64 * 1024;

/**
 * A disk of the database's own that can be filled: a tmpfs, which root may mount. Without root it is a folder, and what is full is each
 * file: RLIMIT_FSIZE of all of the server's processes, which PostgreSQL meets with the same call as a full disk, and another error (EFBIG).
 */
export class Disk {
  readonly folder = mkdtempSync(join(tmpdir(), 'counterfoil-disk-'));
  readonly isMounted: boolean;

  constructor() {
    const mount = ['-t', 'tmpfs', '-o', `size=${SIZE},mode=0700`, 'counterfoil', this.folder];
    this.isMounted = process.getuid?.() === 0 && spawnSync('mount', mount).status === 0;
  }

  /** `pids`: of the server that writes here. */
  fill(pids: readonly number[]): void {
    if (this.isMounted) this.#fill();
    else limit(pids, String(GROWN));
  }

  #fill(): void {
    const file = openSync(join(this.folder, 'ballast'), 'w');
    try {
      for (let size = BALLAST.length; size >= 4_096; ) {
        try {
          writeSync(file, BALLAST, 0, size);
        } catch {
          size = Math.floor(size / 2);
        }
      }
    } finally {
      closeSync(file);
    }
  }

  free(pids: readonly number[]): void {
    if (this.isMounted) rmSync(join(this.folder, 'ballast'), { force: true });
    else limit(pids, 'unlimited');
  }

  remove(): void {
    if (this.isMounted) spawnSync('umount', ['-l', this.folder]);
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** The soft limit: what is given up for good cannot be had again. */
function limit(pids: readonly number[], bytes: string): void {
  for (const pid of pids) spawnSync('prlimit', ['--pid', String(pid), `--fsize=${bytes}:unlimited`]);
}
